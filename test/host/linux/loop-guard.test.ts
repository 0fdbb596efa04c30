import { beforeEach, expect, it } from 'vitest';
import type { Mac, PeerId } from '../../../src/base/ids.ts';
import { LoopGuard, type LoopNetlink } from '../../../src/host/linux/loop-guard.ts';
import { NetlinkError } from '../../../src/host/netlink/errors.ts';
import type { FdbConfig, FdbEntry, Link, LinkRef, NetlinkEvent } from '../../../src/host/netlink/objects.ts';
import { RecordingLog } from '../../fakes/recording-log.ts';
import { linkNamed } from './links.ts';

const ELSEWHERE = '02:00:00:00:00:0b' as Mac;
const HERE = '02:00:00:00:00:0a' as Mac;
const PEER = 'bb'.repeat(16) as PeerId;
const BRIDGE = linkNamed(10, 'fabric0', { kind: 'bridge' });

/** A bridge with ports, and what it learned. */
class FakeNetlink implements LoopNetlink {
  readonly links = new Map<number, Link>();
  readonly fdb: FdbEntry[] = [];
  /** Awaited before a link is read. */
  slow: Promise<void> = Promise.resolve();
  reads = 0;
  vanished = false;

  put(link: Link): void {
    this.links.set(link.index, link);
  }

  async getLink(ref: LinkRef): Promise<Link | null> {
    this.reads++;
    await this.slow;
    return this.links.get(ref as number) ?? null;
  }

  async listLinks(): Promise<readonly Link[]> {
    return [...this.links.values()];
  }

  async listFdb({ port }: { readonly port?: number }): Promise<readonly FdbEntry[]> {
    return this.fdb.filter(({ index }) => index === port);
  }

  async deleteFdbEntry({ index, mac }: FdbConfig): Promise<void> {
    const at = this.fdb.findIndex((entry) => entry.index === index && entry.mac === mac);
    this.fdb.splice(at, 1);
  }

  async setBridgePortForwarding(index: number, forwards: boolean): Promise<void> {
    if (this.vanished) throw new NetlinkError('block the bridge port', 'ENODEV', '');
    this.links.set(index, { ...this.links.get(index)!, portForwards: forwards });
  }
}

function entry(index: number, mac: Mac, state: FdbEntry['state'] = 'learned'): FdbEntry {
  return { index, mac, master: 10, vlan: null, remote: null, state };
}

function learns(index: number, mac: Mac, change: Partial<FdbEntry> = {}): NetlinkEvent {
  return { kind: 'fdb', deleted: false, entry: { ...entry(index, mac), ...change } };
}

const foreign = linkNamed(20, 'eth1', { master: 10, portForwards: true });
const ours = linkNamed(21, 'fbc1', { master: 10, portForwards: true, alias: 'fabric: container port' });

let netlink: FakeNetlink;
let log: RecordingLog;
let guard: LoopGuard;

beforeEach(async () => {
  netlink = new FakeNetlink();
  log = new RecordingLog();
  guard = new LoopGuard(netlink, log);
  for (const link of [foreign, ours]) netlink.put(link);
  await guard.start(BRIDGE, { livesOn: (mac) => (mac === ELSEWHERE ? PEER : null) });
});

/** Lets what was begun end: nothing here waits for time. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

it("blocks a foreign port that another host's MAC enters by, once, and forgets what was learned there", async () => {
  netlink.fdb.push(entry(20, ELSEWHERE), entry(20, HERE), entry(20, HERE, 'permanent'), entry(21, HERE, 'static'));
  for (let i = 0; i < 100; i++) guard.hear(learns(20, ELSEWHERE));
  await settle();
  expect(guard.blocked).toEqual([{ ifname: 'eth1', mac: ELSEWHERE, peer: PEER }]);
  expect(netlink.links.get(20)!.portForwards).toBe(false);
  expect(netlink.fdb.map(({ index, state }) => `${index} ${state}`)).toEqual(['20 permanent', '21 static']);
  expect(netlink.reads).toBe(1);
  guard.hear(learns(20, ELSEWHERE));
  await settle();
  expect(netlink.reads).toBe(1);
  expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(1);
});

it.each<readonly [string, NetlinkEvent]>([
  ['a MAC that lives nowhere else', learns(20, HERE)],
  ['a static entry', learns(20, ELSEWHERE, { state: 'static' })],
  ['an entry that goes', { kind: 'fdb', deleted: true, entry: entry(20, ELSEWHERE) }],
  ['another bridge', learns(20, ELSEWHERE, { master: 11 })],
  ['a port of ours', learns(21, ELSEWHERE)],
  ['a port that is gone', learns(99, ELSEWHERE)],
  ['a bridge port', { kind: 'bridge-port', deleted: false, index: 20, master: 10 }],
])('does nothing for %s', async (_, event) => {
  guard.hear(event);
  await settle();
  expect(guard.blocked).toEqual([]);
  expect([...netlink.links.values()].every(({ portForwards }) => portForwards)).toBe(true);
});

it.each<readonly [string, Partial<Link> | null]>([
  ['is opened again', { portForwards: true }],
  ['is taken out', { master: null, portForwards: null }],
  ['is deleted', null],
])('forgets a port that %s', async (_, change) => {
  guard.hear(learns(20, ELSEWHERE));
  await settle();
  const event: NetlinkEvent = { kind: 'bridge-port', deleted: false, index: 20, master: 10 };
  guard.hear(event);
  await settle();
  expect(guard.blocked).toHaveLength(1);
  if (change === null) netlink.links.delete(20);
  else netlink.put({ ...foreign, ...change });
  guard.hear(event);
  await settle();
  expect(guard.blocked).toEqual([]);
});

it('knows the ports that an earlier daemon blocked, and takes no unplugged one for such', async () => {
  netlink.put({ ...foreign, portForwards: false });
  netlink.put({ ...ours, portForwards: false });
  const later = new LoopGuard(netlink, log);
  netlink.put(linkNamed(22, 'eth2', { master: 10, portForwards: false, carrier: false }));
  await later.start(BRIDGE, { livesOn: () => null });
  expect(later.blocked).toEqual([{ ifname: 'eth1', mac: null, peer: null }]);
});

it('takes a port that vanishes under its hands for gone', async () => {
  netlink.vanished = true;
  guard.hear(learns(20, ELSEWHERE));
  await settle();
  expect(guard.blocked).toEqual([]);
  expect(log.lines).toEqual([]);
});
