// Rekeys without loss and without a nonce used twice (test/lab/rekey-day.ts), on each mix of datapaths: a simulated quarter of
// an hour in `npm test`, `npm run test:long -- rekey-day` a whole day each. Needs root.

import { join } from 'node:path';
import { test } from 'tap';
import { CHECKOUT } from '../lab/checkout.ts';
import { exec } from '../lab/exec.ts';
import type { DatapathKind, RekeyDay } from '../lab/rekey-day.ts';

const LONG = process.env.FABRIC_LONG === 'rekey-day';
const MINUTES = LONG ? 24 * 60 : 15;
const TIMEOUT_MS = LONG ? 20 * 60_000 : 60_000;
const SEED = 20261121;
/** Keys are replaced after 120 s at the latest, and each replacement is a key for either direction. */
const KEYS_MIN = Math.floor(MINUTES / 2) * 2;
const PROGRAM = join(CHECKOUT, 'dist/test/lab/rekey-day.js');
const MIXES: readonly (readonly [DatapathKind, DatapathKind])[] = [
  ['engine', 'engine'],
  ['pcap', 'pcap'],
  ['engine', 'pcap'],
];
/** Drops that a rekey could cause. All others are frames that never crossed, such as IPv6's own of the TAP. */
const BAD_DROPS = [
  'authentication-failed',
  'replayed',
  'too-old',
  'session-unknown',
  'no-endpoint',
  'waiting-overflow',
  'send-failed',
  'send-queue-full',
];

if (process.getuid?.() !== 0) {
  test('rekeys', { skip: 'needs root' }, async () => {});
} else {
  for (const mix of MIXES) {
    test(`${mix.join(' and ')}: ${MINUTES} simulated minutes`, { timeout: TIMEOUT_MS }, async (t) => {
      const command = ['unshare', '--net', process.execPath, PROGRAM, ...mix, `${MINUTES}`, `${SEED}`];
      const { stdout } = await exec(command, { timeoutMs: TIMEOUT_MS });
      const day = JSON.parse(stdout) as RekeyDay;
      const { entered, delivered, repeated, keys, reusedNonces, drops, ...rest } = day;
      t.comment(JSON.stringify({ entered, delivered, keys, ...rest }));
      t.equal(delivered, entered, 'no frame was lost');
      t.equal(repeated, 0, 'and none came twice');
      t.same(reusedNonces, [], 'no counter was used twice under one key');
      t.ok(keys >= KEYS_MIN, 'keys were replaced in time');
      t.ok(rest.lostHandshakes > 0, 'handshakes were lost');
      for (const reason of BAD_DROPS)
        t.notOk(
          drops.some((counts) => counts[reason] !== undefined),
          `nothing ${reason}`,
        );
    });
  }
}
