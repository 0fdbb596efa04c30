import { describe, expect, it } from 'vitest';
import type { Mac } from '../../../src/base/ids.ts';
import { portElements } from '../../../src/host/linux/anti-spoof.ts';
import { fingerprint, hasElements, portInSets } from '../../../src/host/linux/packet-filter.ts';

const MAC = '02:00:00:00:00:05' as Mac;
const PORT = { hostIfname: 'fbc1', mac: MAC, ips: ['10.32.0.5', 'fd00:1::5'] };
const set = (name: string, elem?: readonly unknown[]) => ({ set: { name, handle: 1, ...(elem && { elem }) } });
const concat = (...fields: readonly string[]) => ({ concat: fields });

/** As `nft -j list table bridge fabric` shows the port. */
const LISTING = [
  { metainfo: { version: '1.0.6' } },
  set('ports', ['fbc1']),
  set('owned_macs', [MAC]),
  set('source_macs', [concat('fbc1', MAC)]),
  set('source_ips', [concat('fbc1', MAC, '10.32.0.5')]),
  set('source_ip6s', [concat('fbc1', MAC, 'fd00:1::5'), concat('fbc1', MAC, 'fe80::ff:fe00:5')]),
  set('neighbour_targets', [concat('fbc1', MAC, '0xfd'), concat('fbc1', MAC, '0xfe')]),
];

describe('elements', () => {
  it('are all there', () => {
    expect(hasElements(LISTING, portElements(PORT))).toBe(true);
    expect(hasElements(LISTING, [])).toBe(true);
  });

  it.each(LISTING.slice(1).map((_, i) => i + 1))('are missed when set %i is empty or gone', (at) => {
    const name = (LISTING[at] as { set: { name: string } }).set.name;
    expect(hasElements(LISTING.with(at, set(name)), portElements(PORT))).toBe(false);
    expect(hasElements(LISTING.toSpliced(at, 1), portElements(PORT))).toBe(false);
  });

  it('tell what a forgotten port was allowed', () => {
    expect(portInSets(LISTING, 'fbc1')).toEqual({ ...PORT, ips: [...PORT.ips, 'fe80::ff:fe00:5'] });
    expect(portInSets(LISTING, 'fbc2')).toBeNull();
    expect(portInSets([set('source_macs', ['x', concat('fbc1', 'no mac')])], 'fbc1')).toBeNull();
  });
});

describe('the fingerprint of a listing', () => {
  const rule = (handle: number, packets: number, verdict: string) => ({
    rule: { chain: 'forward', handle, expr: [{ counter: { packets, bytes: 0 } }, { [verdict]: null }] },
  });

  it('passes over handles, counters and elements', () => {
    const a = fingerprint([{ metainfo: { version: '1.0.6' } }, set('ports', ['a']), rule(1, 0, 'drop')]);
    expect(fingerprint([{ metainfo: { version: '1.1.1' } }, set('ports'), rule(9, 77, 'drop')])).toBe(a);
  });

  it('shows a rule that changed, moved or went', () => {
    const whole = [rule(1, 0, 'drop'), rule(2, 0, 'accept')];
    const prints = [whole, whole.toReversed(), whole.slice(1), [rule(1, 0, 'accept'), rule(2, 0, 'accept')], []];
    expect(new Set(prints.map(fingerprint)).size).toBe(prints.length);
  });
});
