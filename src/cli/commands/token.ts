// `fabric token`: the running cluster's token, or a fresh one made offline. Its stdout is the token and a newline.

import { FabricError } from '../../base/errors.ts';
import { formatToken, generateToken } from '../../base/token.ts';
import { nodeCrypto } from '../../host/node-crypto.ts';
import { nodeRandom } from '../../host/node-random.ts';
import { DaemonClient } from '../client.ts';
import { usageError } from '../exit.ts';

export async function token(
  action: string | undefined,
  { runDir, generate }: { runDir: string; generate?: boolean },
): Promise<void> {
  if (action === 'rotate') throw new FabricError('not-implemented', { what: 'fabric token rotate is not there yet' });
  if (action !== undefined) throw usageError(`fabric token knows no action ${action}`);
  if (generate) {
    process.stdout.write(`${formatToken(generateToken(nodeRandom), nodeCrypto)}\n`);
    return;
  }
  const answer = await new DaemonClient(runDir).get<{ token: string }>('/v1/token');
  process.stdout.write(`${answer.token}\n`);
}
