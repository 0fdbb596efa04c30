// The books of a fabric pair: what counts as accounted for, and what does not.

import { describe, expect, it } from 'vitest';
import type { Status } from '../../src/daemon/status-types.ts';
import { type Balance, balanceOf, compareBalances } from './frame-balance.ts';

const NOTHING: Balance = {
  framesIn: 0,
  framesOut: 0,
  txFrames: 0,
  rxFrames: 0,
  frameDrops: 0,
  datagramDrops: 0,
  socketDrops: 0,
};

describe('two readings of the books', () => {
  const rows: [story: string, moved: Partial<Balance>, unaccounted: number, lostInSockets: number][] = [
    ['everything was delivered', { framesIn: 9, txFrames: 9, rxFrames: 9, framesOut: 9 }, 0, 0],
    ['a frame was answered on the spot', { framesIn: 9, txFrames: 8, rxFrames: 8, framesOut: 8, frameDrops: 1 }, 0, 0],
    ['a datagram was a replay', { framesIn: 9, txFrames: 9, rxFrames: 8, framesOut: 8, datagramDrops: 1 }, 0, 0],
    [
      'a full buffer cost a bundle (UDP GSO)',
      { framesIn: 90, txFrames: 90, rxFrames: 30, framesOut: 30, socketDrops: 1 },
      0,
      60,
    ],
    [
      'a full buffer explains no more than a bundle',
      { framesIn: 200, txFrames: 200, rxFrames: 66, framesOut: 66, socketDrops: 1 },
      6,
      128,
    ],
    ['one vanished before it was sent', { framesIn: 9, txFrames: 8, rxFrames: 8, framesOut: 8 }, 1, 0],
    ['one vanished between the hosts', { framesIn: 9, txFrames: 9, rxFrames: 8, framesOut: 8 }, 1, 0],
    ['one vanished behind the tunnel', { framesIn: 9, txFrames: 9, rxFrames: 9, framesOut: 8 }, 1, 0],
    ['one came out of nothing', { framesIn: 9, txFrames: 9, rxFrames: 9, framesOut: 10 }, -1, 0],
    ['one arrived twice', { framesIn: 9, txFrames: 9, rxFrames: 10, framesOut: 10 }, -1, 0],
  ];
  it.each(rows)('%s', (_story, moved, unaccounted, lostInSockets) => {
    const before: Balance = { ...NOTHING, framesIn: 5, framesOut: 3, socketDrops: 7 };
    const keys = Object.keys(NOTHING) as (keyof Balance)[];
    const after = Object.fromEntries(keys.map((key) => [key, before[key] + (moved[key] ?? 0)])) as unknown as Balance;
    expect(compareBalances(before, after)).toEqual({ unaccounted, lostInSockets });
  });
});

describe('the books of a host', () => {
  it('hold what status and the kernel say', () => {
    const status = {
      datapath: {
        framesIn: 10,
        framesOut: 20,
        drops: {
          'neighbour-answered': 2,
          'capture-overrun': 100,
          'handshake-mac1': 5,
          'vxlan-probe-stale': 4,
          'session-unknown': 1,
        },
      },
      tunnels: [
        { txFrames: 7, rxFrames: 21, drops: { replayed: 3, 'send-failed': 1 } },
        { txFrames: 1, rxFrames: 0, drops: {} },
      ],
    } as unknown as Status;
    const sockets = [
      '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops',
      '  261: 00000000:1A7F 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 42',
      '  262: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 99',
    ].join('\n');
    expect(balanceOf(status, sockets)).toEqual({
      framesIn: 10,
      framesOut: 20,
      txFrames: 8,
      rxFrames: 21,
      frameDrops: 3,
      datagramDrops: 4,
      socketDrops: 42,
    });
  });
});
