import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { parseCidr } from '../../../src/base/address.ts';
import { DEFAULT_VNI, type Mac } from '../../../src/base/ids.ts';
import type { OverlayNetworkConfig } from '../../../src/host/host-network.ts';
import { portElements } from '../../../src/host/linux/anti-spoof.ts';
import { DROP_UNASKED_REPORTS, NOTE_QUERY } from '../../../src/host/linux/multicast-listeners.ts';
import { isInterfaceName, networkInterfaces } from '../../../src/host/linux/names.ts';
import {
  NO_GUARD,
  type OverlayRulesInput,
  overlayRules,
  removeOverlayChains,
  removeOverlayRules,
} from '../../../src/host/linux/overlay-rules.ts';

const NETWORK: OverlayNetworkConfig = {
  network: DEFAULT_VNI,
  internal: false,
  bridge: 'fabric0',
  range: parseCidr('10.32.0.0/12')!,
  range6: parseCidr('fd00:1::/48')!,
  gateway: '10.32.0.1',
  gateway6: 'fd00:1::1',
  gatewayMac: '02:fa:b0:00:00:01' as Mac,
  mtu: 1418,
};
const INPUT: OverlayRulesInput = {
  networks: [NETWORK],
  guard: NO_GUARD,
  foreignBridges: [],
  vxlan: null,
  elements: [],
};

/** The rules of one chain, in order. */
function chain(text: string, family: string, name: string): readonly string[] {
  const start = `add rule ${family} fabric ${name} `;
  return text
    .split('\n')
    .filter((line) => line.startsWith(start))
    .map((line) => line.slice(start.length));
}

describe('the tables', () => {
  const text = overlayRules(INPUT);

  it('can be written again without losing elements: chains are flushed, nothing is deleted', () => {
    const added = [...text.matchAll(/^add chain (\S+ fabric \S+)/gm)].map(([, name]) => name);
    const flushed = [...text.matchAll(/^flush chain (\S+ fabric \S+)/gm)].map(([, name]) => name);
    expect(flushed).toEqual(added);
    expect(text).not.toMatch(/^delete/m);
  });

  it('declares chains before the rules that go there', () => {
    const firstRule = text.indexOf('add rule bridge');
    expect(text.lastIndexOf('add chain bridge')).toBeLessThan(firstRule);
    for (const [, target] of text.matchAll(/goto (\S+)/g)) expect(text).toContain(`add chain bridge fabric ${target}`);
  });

  it('drops nothing in the forward chain when the host forwarded before', () => {
    expect(chain(text, 'inet', 'forward').filter((rule) => rule.includes('drop'))).toEqual([]);
  });

  it('masquerades what leaves the overlay, and only that', () => {
    expect(chain(text, 'inet', 'postrouting')).toEqual([
      'oifname != { "fabric0", "host0" } ip saddr 10.32.0.0/12 ip daddr != { 10.32.0.0/12, 224.0.0.0/4, 255.255.255.255 } masquerade fully-random',
      'oifname != { "fabric0", "host0" } ip6 saddr fd00:1::/48 ip6 daddr != { fd00:1::/48, ff00::/8, fe80::/10 } masquerade fully-random',
    ]);
  });

  it('keeps the gateway on its host, in both directions', () => {
    const rules = chain(text, 'bridge', 'overlay_fabric0p');
    expect(rules).toContain('ether saddr 02:fa:b0:00:00:01 drop');
    expect(rules).toContain('arp daddr ip 10.32.0.1 drop');
    expect(rules.join()).toContain('@th,64,128 0xfd000001000000000000000000000001 drop');
    const ports = ['fabric0v', 'fabric0w', 'fabric0p'];
    expect(chain(text, 'bridge', 'prerouting').slice(0, 3)).toEqual(
      ports.map((port) => `iifname "${port}" goto from_${port}`),
    );
    for (const port of ports) {
      const arriving = ['ether saddr @owned_macs counter drop', `goto overlay_${port}`];
      expect(chain(text, 'bridge', `from_${port}`)).toEqual(arriving);
    }
    expect(chain(text, 'bridge', 'postrouting')).toEqual(ports.map((port) => `oifname "${port}" goto overlay_${port}`));
  });

  it('lets known unicast alone pass the ports of VXLAN, by the rules of the other overlay port', () => {
    for (const port of ['fabric0v', 'fabric0w']) {
      const [first, ...others] = chain(text, 'bridge', `overlay_${port}`);
      expect(first).toBe('ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 counter drop');
      const [groups, ...encrypted] = chain(text, 'bridge', 'overlay_fabric0p');
      expect(groups).toContain('01:80:c2:00:00:00');
      expect(others).toEqual(encrypted);
    }
  });

  it('says nothing of UDP 8472 without VXLAN, and lets nobody in', () => {
    expect(text).not.toContain('8472');
    expect(text).toContain('flush set inet fabric vxlan_peers\n');
    expect(text).not.toContain('add element inet fabric vxlan_peer');
  });

  it('judges container ports before it looks at any other local port', () => {
    expect(chain(text, 'bridge', 'prerouting').slice(3)).toEqual([
      'ether type ip iifname . ether saddr . ip saddr @source_ips goto container_known_ip',
      'iifname @ports goto container',
      DROP_UNASKED_REPORTS,
      NOTE_QUERY,
      'iifname "fabric0i" accept',
      'ether saddr @owned_macs counter drop',
    ]);
  });

  it('takes the word of a multicast router that the sender may speak for, and hears routers on other hosts', () => {
    const rules = chain(text, 'bridge', 'container_ip6');
    const checked = rules.indexOf('iifname . ether saddr . ip6 saddr != @source_ip6s counter drop');
    expect(rules.indexOf(NOTE_QUERY)).toBeGreaterThan(checked);
    // Also those that a container sends before it has an address.
    const unspecified = rules.findIndex((rule) => rule.startsWith('ip6 saddr :: icmpv6 type { mld-listener-report'));
    expect(unspecified).toBeGreaterThan(rules.indexOf(DROP_UNASKED_REPORTS));
    expect(rules).toContain(DROP_UNASKED_REPORTS);
    expect(chain(text, 'bridge', 'overlay_fabric0p').slice(-2)).toEqual([DROP_UNASKED_REPORTS, NOTE_QUERY]);
  });

  it('drops frames of IPv4 that are not from an address of their container', () => {
    const [client, ...rest] = chain(text, 'bridge', 'container_ip');
    expect(client).toMatch(/^ip saddr 0\.0\.0\.0 .* accept$/);
    expect(rest).toEqual(['counter drop']);
  });

  it('has no IPv6 rule about a network without IPv6', () => {
    const ip4 = overlayRules({ ...INPUT, networks: [{ ...NETWORK, range6: null, gateway6: null }] });
    expect(chain(ip4, 'inet', 'postrouting')).toHaveLength(1);
    expect(chain(ip4, 'bridge', 'overlay_fabric0p').join()).not.toContain('@th,64,128');
  });

  it('serves several networks', () => {
    const two = overlayRules({ ...INPUT, networks: [NETWORK, { ...NETWORK, bridge: 'blue' }] });
    expect(two).toContain('iifname { "fabric0", "host0", "blue", "blueh" } accept');
    expect(two).toContain('iifname "bluep" goto from_bluep');
  });
});

describe('the guard of forwarding', () => {
  const guard = { ip4: { forwardedFrom: ['wg0'], bridgesBefore: ['br0'] }, ip6: null };
  const text = overlayRules({ ...INPUT, guard, foreignBridges: ['br0', 'docker0'] });

  it('drops the rest of that family, after what is ours', () => {
    const rules = chain(text, 'inet', 'forward');
    expect(rules.at(-1)).toMatch(/^meta nfproto ipv4 counter drop/);
    expect(rules.filter((rule) => rule.includes('ipv6'))).toEqual([]);
    expect(rules[0]).toBe('iifname { "fabric0", "host0" } accept');
  });

  it('lets pass what was forwarded before, and bridges that came later', () => {
    const rules = chain(text, 'inet', 'forward');
    expect(rules).toContain('meta nfproto ipv4 iifname { "wg0", "docker0" } accept');
    expect(rules).toContain('meta nfproto ipv4 oifname { "docker0" } accept');
  });

  it('lets frames pass that others bridge', () => {
    expect(chain(text, 'inet', 'forward')).toContain('iifname . oifname @bridged accept');
    expect(text).toContain('add element inet fabric bridged { "br0" . "br0" }');
  });
});

describe('text from outside', () => {
  test('TM30 names of foreign bridges can not leave their string', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1, maxLength: 15 }), { maxLength: 5 }), (names) => {
        const guard = { ip4: { forwardedFrom: names, bridgesBefore: [] }, ip6: null };
        const text = overlayRules({ ...INPUT, guard, foreignBridges: names });
        for (const line of text.split('\n')) {
          expect(line === '' || /^(add|flush) (table|set|chain|rule|element) (inet|bridge) fabric/.test(line)).toBe(
            true,
          );
          const quotes = line.match(/"[^"]*"/g) ?? [];
          expect(line.split('"').length - 1, line).toBe(quotes.length * 2);
          expect(
            quotes.some((quote) => /[\\*\n]/.test(quote)),
            line,
          ).toBe(false);
        }
      }),
    );
  });

  test('a bridge of ours has a name that needs no quoting, short enough for its ports', () => {
    for (const name of ['', '.', '..', 'a b', 'a/b', 'a"b', 'a;b', 'ü', 'x'.repeat(15), '{', '$x']) {
      expect(() => networkInterfaces(name), name).toThrow(/can't be a bridge's name/);
    }
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9_.-]{1,14}$/), (name) => {
        fc.pre(name !== '.' && name !== '..');
        const { vxlan, ...others } = networkInterfaces(name);
        const names = [...Object.values(others), ...Object.values(vxlan).flatMap((one) => Object.values(one))];
        expect(names).toHaveLength(9);
        expect(new Set(names).size).toBe(names.length);
        expect(names.every(isInterfaceName)).toBe(true);
      }),
    );
  });

  test('elements of a port stand behind the rules', () => {
    const elements = portElements({
      hostIfname: 'fbc1',
      mac: '02:00:00:00:00:05' as Mac,
      ips: ['10.32.0.5', 'fd00:1::5'],
    });
    const text = overlayRules({ ...INPUT, elements });
    expect(text).toContain('add element bridge fabric source_ips { "fbc1" . 02:00:00:00:00:05 . 10.32.0.5 }');
    expect(text.indexOf('add element bridge')).toBeGreaterThan(text.lastIndexOf('add rule bridge'));
  });

  test('removal needs no table to be there', () => {
    expect(removeOverlayRules()).toBe(
      'add table inet fabric\ndelete table inet fabric\nadd table bridge fabric\ndelete table bridge fabric\n',
    );
  });
});

describe('several networks', () => {
  const BLUE: OverlayNetworkConfig = {
    ...NETWORK,
    network: 7 as typeof DEFAULT_VNI,
    bridge: 'fabn7',
    range: parseCidr('10.128.0.0/16')!,
    range6: null,
    gateway: '10.128.0.1',
    gateway6: null,
  };
  const BLACK: OverlayNetworkConfig = { ...BLUE, network: 8 as typeof DEFAULT_VNI, internal: true, bridge: 'fabn8' };
  const text = overlayRules({ ...INPUT, networks: [NETWORK, BLUE, BLACK] });

  it('are kept apart where the host would forward between them, before anything is accepted', () => {
    const [apart, ...rest] = chain(text, 'inet', 'forward');
    expect(apart).toMatch(
      /^iifname \{ .* \} oifname \{ .* \} iifname \. oifname != \{ .* \} counter drop comment "networks are apart"$/,
    );
    const pairs = /!= \{ (.*) \}/.exec(apart!)![1]!.split(', ');
    const own = (a: string, b: string) => [`"${a}" . "${a}"`, `"${a}" . "${b}"`, `"${b}" . "${a}"`, `"${b}" . "${b}"`];
    expect(pairs).toEqual([...own('fabric0', 'host0'), ...own('fabn7', 'fabn7h'), ...own('fabn8', 'fabn8h')]);
    expect(rest.findIndex((rule) => rule.endsWith('accept'))).toBeGreaterThan(1);
  });

  it('take no packet of one for the gateway of another', () => {
    const input = chain(text, 'inet', 'input').filter((rule) => rule.includes('networks are apart'));
    expect(input).toHaveLength(2);
    expect(input[0]).toContain('ip daddr { 10.32.0.1, 10.128.0.1 } iifname . ip daddr != ');
    expect(input[0]).toContain('"fabn7" . 10.128.0.1');
    expect(input.join()).not.toContain('"fabn8" . ');
  });

  it('lead nowhere and to no host where they are internal', () => {
    const forward = chain(text, 'inet', 'forward');
    expect(forward).toContain(
      'iifname { "fabn8" } oifname != { "fabn8" } counter drop comment "an internal network has no gateway"',
    );
    expect(forward).toContain(
      'oifname { "fabn8" } iifname != { "fabn8" } counter drop comment "an internal network has no gateway"',
    );
    expect(chain(text, 'inet', 'input').at(-1)).toBe(
      'iifname { "fabn8" } counter drop comment "an internal network has no gateway"',
    );
    expect(chain(text, 'inet', 'postrouting').filter((rule) => rule.includes('10.128.'))).toHaveLength(1);
  });

  it('have the gateway of each on its own overlay port', () => {
    expect(chain(text, 'bridge', 'overlay_fabn7p')).toContain('arp daddr ip 10.128.0.1 drop');
    expect(chain(text, 'bridge', 'overlay_fabric0p')).not.toContain('arp daddr ip 10.128.0.1 drop');
    expect(text).not.toContain('fabn7v');
  });

  it('leave no chain behind when one goes', () => {
    const chains = ['from_fabn7p', 'overlay_fabn7p'];
    for (const name of chains) expect(text).toContain(`add chain bridge fabric ${name}`);
    const removal = removeOverlayChains('fabn7p').trim().split('\n');
    expect(removal).toEqual(
      ['add', 'flush', 'delete'].flatMap((verb) => chains.map((c) => `${verb} chain bridge fabric ${c}`)),
    );
  });
});
