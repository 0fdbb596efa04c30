import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { HostStateFile, parseHostState } from '../../../src/host/linux/state-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'fabric-host-state-'));
afterAll(() => rmSync(folder, { recursive: true }));

const STATE = {
  place: 'boot 4:4026531840',
  originals: { 'net/ipv4/conf/all/forwarding': '0', 'net/ipv6/conf/eth0.100/accept_ra': '1' },
  guard: { ip4: { forwardedFrom: ['wg0'], bridgesBefore: [] }, ip6: null },
};

describe('the file', () => {
  it('gives back what was written, and is for its owner only', () => {
    const file = new HostStateFile(join(folder, 'a.json'));
    expect(file.read()).toBeNull();
    file.write(STATE);
    expect(file.read()).toEqual(STATE);
    expect(statSync(join(folder, 'a.json')).mode & 0o777).toBe(0o600);
    file.remove();
    file.remove();
    expect(file.read()).toBeNull();
  });

  it('is reported when damaged, and left as it is', () => {
    const path = join(folder, 'b.json');
    writeFileSync(path, '{"place":');
    const file = new HostStateFile(path);
    expect(() => file.read()).toThrow(expect.objectContaining({ code: 'state-damaged' }));
    expect(readFileSync(path, 'utf8')).toBe('{"place":');
  });
});

describe('parsing', () => {
  const rows: readonly (readonly [string, unknown])[] = [
    ['no object', []],
    ['a missing part', { place: 'x', originals: {} }],
    ['a path elsewhere', { ...STATE, originals: { 'kernel/core_pattern': '0' } }],
    ['a path upwards', { ...STATE, originals: { 'net/ipv4/conf/../x': '0' } }],
    ['a value that is no number', { ...STATE, originals: { 'net/ipv4/conf/all/forwarding': '|sh' } }],
    ['a guard of another shape', { ...STATE, guard: { ip4: { forwardedFrom: [1], bridgesBefore: [] }, ip6: null } }],
    ['half a guard', { ...STATE, guard: { ip4: null } }],
  ];
  it.each(rows)('refuses %s', (_name, value) => {
    expect(parseHostState(JSON.stringify(value))).toBeNull();
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        parseHostState(text);
      }),
    );
  });
});
