// Stands in for a host of a later fabric whose mesh speaks no protocol of ours any more: `FABRIC_TOKEN=… future-host HOST` listens
// on the mesh port, dials HOST with that token, and prints each refusal that it comes to as one line of JSON.

import { toHex } from '../../src/base/bytes.ts';
import type { BootId } from '../../src/base/ids.ts';
import { deriveGeneration } from '../../src/base/keyring.ts';
import { parseToken } from '../../src/base/token.ts';
import { PROTOCOL } from '../../src/daemon/version.ts';
import { generateHostKeys } from '../../src/host/identity-file.ts';
import { makeMeshCredentials } from '../../src/host/mesh/credentials.ts';
import { Mesh } from '../../src/host/mesh/mesh.ts';
import type { RefusalReport } from '../../src/host/mesh/mesh-ports.ts';
import { TlsTransport } from '../../src/host/mesh/tls-transport.ts';
import { nodeCrypto } from '../../src/host/node-crypto.ts';
import { nodeRandom } from '../../src/host/node-random.ts';
import { SystemClock } from '../../src/host/system-clock.ts';
import { systemTimers } from '../../src/host/system-timers.ts';
import { RecordingLog } from '../fakes/recording-log.ts';

const MESH_PORT = 6783;
/** What its refusals name. */
export const FUTURE_VERSION = '9.0.0';
const FUTURE_PROTOCOL = PROTOCOL.protocolMax + 1;

function start(host: string, tokenText: string): Mesh {
  const token = parseToken(tokenText, nodeCrypto);
  const keys = generateHostKeys(nodeRandom, nodeCrypto);
  const clock = new SystemClock();
  const print = (report: RefusalReport): void => void process.stdout.write(`${JSON.stringify(report)}\n`);
  const mesh = new Mesh({
    self: keys.peer,
    clusterId: token.clusterId,
    transport: new TlsTransport({
      credentials: makeMeshCredentials({ keys, generations: [deriveGeneration(token, nodeCrypto)] }, nodeCrypto),
      listen: { host: '::', port: MESH_PORT },
      clock,
    }),
    facts: {
      protocolMin: FUTURE_PROTOCOL,
      protocolMax: FUTURE_PROTOCOL,
      version: FUTURE_VERSION,
      nickname: 'future',
      bootId: toHex(nodeRandom.bytes(8)) as BootId,
      genesis: new Uint8Array(0),
      endpoints: [],
      networks: [],
    },
    readGenesis: () => null,
    clock,
    timers: systemTimers,
    random: nodeRandom,
    log: new RecordingLog(),
    isAlive: () => true,
    events: {
      linkUp: ({ peer }) => void process.stdout.write(`${JSON.stringify({ linked: peer })}\n`),
      linkDown: () => undefined,
      message: () => undefined,
      heard: () => undefined,
      unreached: () => undefined,
      writable: () => undefined,
      refused: print,
      removed: print,
      clone: print,
      admitted: () => void process.stdout.write(`${JSON.stringify({ admitted: host })}\n`),
    },
  });
  void mesh.start().then(() => mesh.addTarget({ host, port: MESH_PORT }));
  return mesh;
}

if (process.argv[1] === import.meta.filename) start(process.argv[2]!, process.env.FABRIC_TOKEN!);
