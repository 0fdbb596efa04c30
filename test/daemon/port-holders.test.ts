import { expect, test } from 'vitest';
import { PortHolders } from '../../src/daemon/port-holders.ts';

test('who holds a port is looked for once in thirty tries, and at once where nobody was seen or the port was free between', async () => {
  const searches: string[] = [];
  let holder: string | null = null;
  const holders = new PortHolders(async (place) => {
    searches.push(place);
    return holder;
  });
  expect([await holders.holderOf('a'), await holders.holderOf('a'), searches.length]).toEqual([null, null, 2]);
  holder = 'weaver';
  for (let i = 0; i < 30; i++) expect(await holders.holderOf('a')).toBe('weaver');
  expect(searches.length).toBe(3);
  holder = 'dnsmasq';
  expect(await holders.holderOf('a')).toBe('dnsmasq');
  holders.forget('a');
  holder = 'named';
  expect([await holders.holderOf('b'), await holders.holderOf('a')]).toEqual(['named', 'named']);
});
