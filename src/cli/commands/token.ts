// `fabric token`: the running cluster's token, or a fresh one made offline; its stdout is the token and a newline. `rotate` puts
// another in its place (docs/keys.md).

import { FabricError } from '../../base/errors.ts';
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

const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

export async function token(action: string | undefined, { runDir, generate, grace }: Flags): Promise<void> {
  if (action === 'rotate') return rotate(runDir, grace);
  if (action !== undefined) throw usageError(`fabric token knows no action ${action}`);
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
  const match = /^(\d{1,6})([smhd])$/.exec(text);
  if (match !== null) return Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
  if (text === '0') return 0;
  throw new FabricError('usage', { what: `--grace ${text} is no time`, fix: 'Say 24h, 90m, 2d, or 0' });
}
