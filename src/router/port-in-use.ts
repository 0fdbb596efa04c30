// The error of a datapath whose UDP port somebody else has.

import { type Endpoint, formatEndpoint } from '../base/endpoint.ts';
import { FabricError } from '../base/errors.ts';

export function portInUse(listen: Endpoint, cause?: unknown): FabricError {
  return new FabricError(
    'port-in-use',
    {
      what: `can't listen on UDP ${formatEndpoint(listen)}`,
      why: 'the port is in use',
      fix: `find the program with 'ss -lunp sport = :${listen.port}' and stop it, or use another --port on every host`,
    },
    { cause },
  );
}
