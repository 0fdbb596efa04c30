// `fabric token`: the running cluster's token, or a fresh one made offline; its stdout is the token and a newline. `rotate` puts
// another in its place (docs/keys.md).

import { parseDurationMs } from '../../base/duration.ts';
import { formatToken, generateToken } from '../../base/token.ts';
import type { RotationFacts } from '../../daemon/rotations.ts';
import { nodeCrypto } from '../../host/node-crypto.ts';
import { nodeRandom } from '../../host/node-random.ts';
import { DaemonClient } from '../client.ts';
import { usageError } from '../exit.ts';

interface Flags {
  readonly runDir: string;
  readonly generate?: boolean;
  readonly grace?: string;
}

export async function token(action: string | undefined, { runDir, generate, grace }: Flags): Promise<void> {
  if (action === 'rotate') return rotate(runDir, grace);
  if (action !== undefined)
    throw usageError(
      `fabric token knows no action ${action}`,
      'fabric token prints it, fabric token rotate replaces it',
    );
  if (grace !== undefined) throw usageError('--grace is for fabric token rotate');
  if (generate) {
    process.stdout.write(`${formatToken(generateToken(nodeRandom), nodeCrypto)}\n`);
    return;
  }
  const answer = await new DaemonClient(runDir).get<{ token: string }>('/v1/token');
  process.stdout.write(`${answer.token}\n`);
}

async function rotate(runDir: string, grace: string | undefined): Promise<void> {
  const wish = grace === undefined ? {} : { graceMs: graceMsOf(grace) };
  const { generation, graceEndsMs } = await new DaemonClient(runDir).post<RotationFacts>('/v1/token/rotate', wish);
  const older =
    graceEndsMs === null
      ? 'the old token lets in no new host any more'
      : `the old token lets in new hosts until ${new Date(graceEndsMs).toISOString()}`;
  process.stdout.write(`the token is of generation ${generation} now (fabric token prints it); ${older}\n`);
}

function graceMsOf(text: string): number {
  const ms = text === '0' ? 0 : parseDurationMs(text);
  if (ms === null) throw usageError(`--grace ${text} is no time`, 'Say 24h, 90m, 2d, or 0');
  return ms;
}
