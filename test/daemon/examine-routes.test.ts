import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/ids.ts';
import type { PeerRecord } from '../../src/base/records.ts';
import { EXAMINED_MAX, type ExamineAnswer, type ExamineFacts, examineRoutes } from '../../src/daemon/examine-routes.ts';

const SELF = 'aa'.repeat(16) as PeerId;
const idOf = (index: number): PeerId => index.toString(16).padStart(32, '0') as PeerId;

function setUp(count: number, states: Readonly<Record<number, 'suspect' | 'dead' | 'failed'>> = {}) {
  const stateOf = (peer: PeerId) => states[Number.parseInt(peer, 16)];
  const examined: PeerId[] = [];
  const record = (nickname: string): PeerRecord =>
    ({ nickname, endpoints: [{ ip: '192.0.2.9', port: 6783 }] }) as unknown as PeerRecord;
  const peers = Array.from({ length: count }, (_, i) => [idOf(i), record(`h${i}`)] as const);
  const facts = {
    port: () => 7000,
    linkedAt: (peer: PeerId) => (peer === idOf(0) ? { ip: '192.0.2.1', port: 6783 } : null),
    member: {
      attachments: { self: SELF },
      neighbourhood: { liveness: { view: (peer: PeerId) => ({ state: stateOf(peer) ?? 'alive' }) } },
      tunnels: { status: (peer: PeerId) => ({ state: stateOf(peer) === 'failed' ? 'failed' : 'established' }) },
      directory: { peers: () => [[SELF, record('self')] as const, ...peers] },
      examiner: {
        examine: async (peer: PeerId) => {
          examined.push(peer);
          return { linked: true, udpOut: true, udpIn: true, clockSkewMs: 0, clockErrorMs: 1 };
        },
      },
    },
  } as unknown as ExamineFacts;
  const ask = async (body: unknown) =>
    examineRoutes(facts)['POST /v1/examine']!({ body } as never) as Promise<ExamineAnswer>;
  return { ask, examined };
}

describe('the call behind fabric doctor', () => {
  test('examines all peers, where their links lead or where they say to be, but not this host', async () => {
    const { ask, examined } = setUp(2);
    const { port, peers } = await ask({ peer: null });
    expect([port, examined]).toEqual([7000, [idOf(0), idOf(1)]]);
    expect(peers.map(({ nickname, ip }) => [nickname, ip])).toEqual([
      ['h0', '192.0.2.1'],
      ['h1', '192.0.2.9'],
    ]);
  });

  test('examines one by nickname or the beginning of its id', async () => {
    const { ask, examined } = setUp(3);
    await ask({ peer: 'h1' });
    await ask({ peer: idOf(2) });
    expect(examined).toEqual([idOf(1), idOf(2)]);
  });

  test('examines no more than a bound', async () => {
    const { ask, examined } = setUp(EXAMINED_MAX + 5);
    await ask(undefined);
    expect(examined.length).toBe(EXAMINED_MAX);
  });

  test('examines those in trouble first: of a large cluster it sees no more than them', async () => {
    const { ask, examined } = setUp(EXAMINED_MAX + 9, { 66: 'dead', 68: 'suspect', 70: 'failed' });
    await ask({ peer: null });
    expect(examined.slice(0, 4)).toEqual([68, 70, 66, 0].map(idOf));
  });

  test.each([
    ['nobody of that name', 2, 'nobody', 'peer-unknown'],
    ['nobody at all', 0, 'h0', 'peer-unknown'],
    ['this host', 1, 'self', 'peer-unknown'],
    ['several', 20, '000000', 'usage'],
    ['no name', 2, 7, 'usage'],
    ['white space', 2, 'a b', 'usage'],
  ])('says so when it is %s', async (_, count, peer, code) => {
    const { ask, examined } = setUp(count);
    await expect(ask({ peer })).rejects.toMatchObject({ code });
    expect(examined).toEqual([]);
  });
});
