import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseCidr } from '../../../src/base/address.ts';
import { toHex } from '../../../src/base/bytes.ts';
import { DEFAULT_VNI, type PeerId, type Vni } from '../../../src/base/ids.ts';
import { decodeLeaseMessage, encodeLeaseMessage } from '../../../src/ipam/lease-message.ts';
import type { Decision, Value } from '../../../src/ipam/reclaim/decision.ts';
import { decodeDecision, encodeDecision } from '../../../src/ipam/reclaim/decision.ts';
import { decodeState, encodeState } from '../../../src/ipam/reclaim/published.ts';
import {
  decodeVoteMessage,
  encodeVoteMessage,
  isVoteMessage,
  VOTE_REFUSALS,
  type VoteMessage,
} from '../../../src/ipam/reclaim/vote-message.ts';
import { ipamOf } from '../scenario.ts';
import { VotingCluster } from './voting-cluster.ts';

const NETWORK = 5 as Vni;
const A = '11'.repeat(16) as PeerId;
const B = '22'.repeat(16) as PeerId;
const ballot = { round: 7, proposer: A };
const titles = [
  { network: DEFAULT_VNI, cidr: parseCidr('10.40.0.0/13')!, epoch: 2 },
  { network: NETWORK, cidr: parseCidr('fd00:1:0:8000::/49')!, epoch: 3 },
];
const reclaim: Value = { kind: 'reclaim', owner: A, heir: B, titles };
const vote = { key: new Uint8Array(32).fill(7), signature: new Uint8Array(64).fill(9) };
const decision: Decision = { slot: 3, ballot, value: reclaim, votes: [vote, vote] };
const voters: Value = { kind: 'voters', voters: [A, B], leaseMs: 60_000 };

const messages: readonly VoteMessage[] = [
  { kind: 'renew', number: 5, length: 2, version: 2 ** 40 },
  { kind: 'promise', number: 5, leaseMs: 86_400_000 },
  ...VOTE_REFUSALS.map((why) => ({ kind: 'no-promise', number: 6, why, length: 4 }) as const),
  { kind: 'prepare', poll: true, slot: 3, ballot, target: B },
  { kind: 'prepare', poll: false, slot: 3, ballot, target: null },
  { kind: 'prepared', poll: false, slot: 3, ballot, accepted: null, titles: [] },
  { kind: 'prepared', poll: true, slot: 3, ballot, accepted: { ballot, value: voters }, titles },
  { kind: 'no-vote', slot: 3, ballot, why: 'outbid', round: 9 },
  { kind: 'accept', slot: 3, ballot, value: { kind: 'none' } },
  { kind: 'accept', slot: 3, ballot, value: reclaim },
  { kind: 'accepted', slot: 3, ballot, vote },
  { kind: 'decided', decision },
  { kind: 'fetch', length: 2 },
];

describe('messages of the voting', () => {
  test.each(messages)('round trip, and every truncation and trailing byte is refused: $kind', (message) => {
    const bytes = encodeVoteMessage(NETWORK, message);
    expect(isVoteMessage(bytes)).toBe(true);
    expect(decodeVoteMessage(bytes)).toEqual(message);
    expect(decodeLeaseMessage(bytes)).toBeNull();
    for (let length = 0; length < bytes.length; length++) {
      expect(decodeVoteMessage(bytes.subarray(0, length))).toBeNull();
    }
    expect(decodeVoteMessage(new Uint8Array([...bytes, 0]))).toBeNull();
  });

  test('golden bytes', () => {
    const id = '11'.repeat(16);
    expect(toHex(encodeVoteMessage(NETWORK, messages[0]!))).toBe('0110000000050000000500000002' + '0000010000000000');
    const accept = encodeVoteMessage(NETWORK, { kind: 'accept', slot: 3, ballot, value: voters });
    expect(toHex(accept)).toBe(`01160000000500000003${'00000007'}${id}${'01'}${'0000ea60'}02${id}${'22'.repeat(16)}`);
    const take = encodeVoteMessage(NETWORK, { kind: 'accept', slot: 3, ballot, value: reclaim });
    const ofDefault = `00000000${'040d'}0a280000${'00000002'}`;
    const ofNamed = `00000005${'0631'}fd00000100008000${'00'.repeat(8)}${'00000003'}`;
    expect(toHex(take)).toBe(
      `01160000000500000003${'00000007'}${id}02${id}${'22'.repeat(16)}0002${ofDefault}${ofNamed}`,
    );
  });

  test('requests of space are none of them', () => {
    const giftId = '00'.repeat(16) as never;
    expect(isVoteMessage(encodeLeaseMessage(NETWORK, { kind: 'refuse', giftId, reason: 'limit' }))).toBe(false);
  });

  test('no bytes make the decoders throw, and what they accept encodes to the same bytes', () => {
    const seeds = messages.map((message) => encodeVoteMessage(NETWORK, message));
    const changed = fc
      .tuple(fc.constantFrom(...seeds), fc.array(fc.tuple(fc.nat(300), fc.nat(255)), { maxLength: 4 }))
      .map(([seed, flips]) => {
        const bytes = seed.slice();
        for (const [at, value] of flips) bytes[at % bytes.length] = value;
        bytes.set(seed.subarray(2, 6), 2); // the network is the caller's to read
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), changed), (bytes) => {
        decodeDecision(bytes);
        decodeState(bytes);
        const message = decodeVoteMessage(bytes);
        if (message !== null && bytes[5] === NETWORK) expect(encodeVoteMessage(NETWORK, message)).toEqual(bytes);
      }),
      { numRuns: 3_000, seed: 1 },
    );
  });

  test('decisions and what hosts publish of themselves survive', () => {
    expect(decodeDecision(encodeDecision(decision))).toEqual(decision);
    const state = { enrolled: true, mark: { slot: 4, change: 9 } };
    expect(decodeState(encodeState(state))).toEqual(state);
  });
});

test('no forged message makes a host throw or believe a decision', () => {
  const cluster = new VotingCluster({ hosts: 4 });
  cluster.elect();
  const before = cluster.decisions.size;
  for (const message of [...messages, ...messages]) {
    for (const [to] of cluster.hosts.entries()) {
      for (const slot of [0, before - 1, before, before + 1, 0xffff_ffff]) {
        const aimed = 'slot' in message ? { ...message, slot } : message;
        const forged = aimed.kind === 'decided' ? { ...aimed, decision: { ...decision, slot } } : aimed;
        const from = cluster.hosts[(to + 1) % 4]!.id;
        ipamOf(cluster, to).receive(from, encodeVoteMessage(cluster.plan.network, forged));
      }
    }
  }
  cluster.pass(30_000);
  expect(cluster.reclaims).toEqual([]);
  for (const host of cluster.hosts.keys()) expect(cluster.allocate(host, `c${host}`)).toBe('ok');
});
