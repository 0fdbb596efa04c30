// A NAT of the lab: a router in a namespace of its own, as at home, that masks one host. From outside it lets in only answers.
//
//   host (10.0.N.2) ── bridge `site-N` ── lan [ router ] wan (192.0.2.10N) ── bridge `underlay`

import { exec } from './exec.ts';
import type { LabHost } from './host.ts';
import type { Lab } from './lab.ts';

/** What is idle for longer is forgotten, seconds: less than Linux does by itself. */
const MAPPING_S = 25;

export class LabNat {
  readonly wanIp: string;
  readonly #pid: number;
  #zone = 0;

  /** Puts the host behind a new NAT; its daemon is not running yet. `number`: 1 to 9, one for each NAT of the lab. */
  static async around(lab: Lab, host: LabHost, number: number): Promise<LabNat> {
    const pid = await lab.hold(['--net']);
    const site = `site-${number}`;
    const [lanIp, hostIp] = [1, 2].map((last) => `10.0.${number}.${last}`);
    const nat = new LabNat(pid, `192.0.2.10${number}`);
    await lab.inSwitch(['ip', 'link', 'add', site, 'up', 'type', 'bridge', 'mcast_snooping', '0']);
    for (const [ifname, bridge] of [
      ['lan', site],
      ['wan', 'underlay'],
    ] as const) {
      const port = `nat${number}-${ifname}`;
      const peer = ['peer', 'name', ifname, 'netns', String(pid)];
      await lab.inSwitch(['ip', 'link', 'add', port, 'type', 'veth', ...peer]);
      await lab.inSwitch(['ip', 'link', 'set', port, 'master', bridge, 'up']);
      await nat.#run(['ip', 'link', 'set', ifname, 'up']);
    }
    await nat.#run(['ip', 'address', 'add', `${lanIp}/24`, 'dev', 'lan']);
    await nat.#run(['ip', 'address', 'add', `${nat.wanIp}/24`, 'dev', 'wan']);
    await nat.#run(['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
    await nat.#filter();
    await nat.mask('cone');
    for (const name of ['udp_timeout', 'udp_timeout_stream']) {
      await nat.#run(['sysctl', '-qw', `net.netfilter.nf_conntrack_${name}=${MAPPING_S}`]);
    }
    await lab.inSwitch(['ip', 'link', 'set', lab.portOf(host), 'master', site]);
    await host.run(['ip', 'address', 'flush', 'dev', 'eth0']);
    await host.run(['ip', 'address', 'add', `${hostIp}/24`, 'dev', 'eth0']);
    await host.run(['ip', 'route', 'add', 'default', 'via', lanIp!]);
    return nat;
  }

  private constructor(pid: number, wanIp: string) {
    this.#pid = pid;
    this.wanIp = wanIp;
  }

  /** From now on, also of what was mapped. `cone`: the host's port stays the same; `symmetric`: each destination sees another. */
  async mask(kind: 'cone' | 'symmetric'): Promise<void> {
    const rule = kind === 'cone' ? 'masquerade' : 'masquerade fully-random';
    this.#zone++; // what was mapped stays behind in the zone of before
    const zone = `flush chain ip raw pre; add rule ip raw pre ct zone set ${this.#zone}`;
    await this.#nft(`${zone}; flush chain ip nat post; add rule ip nat post oifname wan ${rule}`);
  }

  #filter(): Promise<void> {
    const answers = 'ct state established,related accept';
    const chains = ['input', 'forward'].map((hook) => {
      const chain = `ip filter ${hook}`;
      const base = `add chain ${chain} { type filter hook ${hook} priority 0; policy drop; }`;
      return `${base}; add rule ${chain} iifname lan accept; add rule ${chain} ${answers}`;
    });
    const post = 'add chain ip nat post { type nat hook postrouting priority 100; }';
    const pre = 'add table ip raw; add chain ip raw pre { type filter hook prerouting priority raw; }';
    return this.#nft(`add table ip filter; ${chains.join('; ')}; add table ip nat; ${post}; ${pre}`);
  }

  async #nft(commands: string): Promise<void> {
    await this.#run(['nft', commands]);
  }

  #run(command: readonly string[]): ReturnType<typeof exec> {
    return exec(['nsenter', '-t', String(this.#pid), '-n', '--', ...command]);
  }
}
