import { expect, test } from 'vitest';
import { cidrSize, parseCidr } from '../../../src/base/address.ts';
import { DEFAULT_VNI, type PeerId } from '../../../src/base/ids.ts';
import { LeaseNews } from '../../../src/daemon/events/lease-news.ts';
import type { LeaseRow, LeaseState } from '../../../src/ipam/types.ts';

function block(text: string, state: LeaseState): LeaseRow {
  const cidr = parseCidr(text)!;
  const facts = { network: DEFAULT_VNI, peer: 'aa' as PeerId, epoch: 1, used: 0, expiresAt: null };
  return { ...facts, cidr, state, size: Number(cidrSize(cidr)) };
}

test('tells what is begun and ended, and the sum, not how reserves split', () => {
  const told: string[] = [];
  let label: string | null = null;
  const news = new LeaseNews(
    ({ kind, what }) => told.push(`${kind}: ${what}`),
    () => label,
  );
  const after = (...own: readonly LeaseRow[]): readonly string[] => {
    news.changed(own);
    return told.splice(0);
  };
  expect(after()).toEqual([]);
  expect(after(block('10.32.0.0/23', 'spare'))).toEqual([
    'lease-space: this host owns 512 IPv4 addresses of the network, 0 before',
  ]);
  expect(after(block('10.32.0.0/24', 'spare'), block('10.32.1.0/24', 'spare'))).toEqual([]);
  expect(after(block('10.32.0.0/24', 'active'), block('10.32.1.0/24', 'spare'))).toEqual([
    'lease-active: addresses are given out of 10.32.0.0/24 now',
  ]);
  expect(after(block('10.32.0.0/24', 'disputed'), block('10.32.1.0/24', 'spare'))).toEqual([
    'lease-space: this host owns 256 IPv4 addresses of the network, 512 before',
    'lease-idle: no address is given out of 10.32.0.0/24 any more',
  ]);
  label = 'blue';
  expect(after(block('10.32.1.0/24', 'active'))).toEqual([
    'lease-active: addresses are given out of 10.32.1.0/24 now in the network blue',
  ]);
  expect(after()).toEqual([
    'lease-space: this host owns 0 IPv4 addresses of the network blue, 256 before',
    'lease-idle: no address is given out of 10.32.1.0/24 any more in the network blue',
  ]);
});
