import { describe, expect, test } from 'vitest';
import { ANY, select, type Wanted } from '../../../src/cli/status/selection.ts';
import type { StatusSection } from '../../../src/daemon/status-types.ts';
import { other, status } from './some-status.ts';

const all = status();

describe('rows are chosen', () => {
  test.each<[StatusSection, Partial<Wanted>, number]>([
    ['peers', {}, 1],
    ['peers', { which: 'two' }, 1],
    ['peers', { which: 'TWO' }, 1],
    ['peers', { which: 'tw' }, 0],
    ['peers', { which: other.slice(0, 4) }, 1],
    ['peers', { which: other.slice(0, 3) }, 0],
    ['peers', { which: '192.0.2.12:6783' }, 1],
    ['peers', { state: 'dead' }, 0],
    ['tunnels', { peer: 'two', state: 'established' }, 1],
    ['tunnels', { peer: 'one' }, 0],
    ['routes', { peer: 'one' }, 1],
    ['routes', { which: '10.40.0.5' }, 1],
    ['routes', { which: '10.40.0.5/12' }, 1],
    ['routes', { which: '02:00:00:00:00:02', state: 'active' }, 0],
    ['routes', { which: 'db' }, 1],
    ['routes', { which: 'db.fabric.internal' }, 1],
    ['routes', { which: 'd' }, 0],
    ['routes', { state: 'refused' }, 1],
    ['routes', { network: 'other' }, 0],
    ['leases', { which: '10.40.0.0/13', network: 'fabric' }, 1],
    ['leases', { peer: other }, 1],
    ['attachments', { which: 'web' }, 1],
    ['attachments', { which: 'c0ffee' }, 1],
    ['attachments', { which: 'fab1', peer: 'one' }, 1],
    ['attachments', { peer: 'two' }, 0],
    ['dns', { which: 'db' }, 1],
    ['dns', { which: 'db.fabric.internal' }, 1],
    ['dns', { which: '10.40.0.5' }, 1],
    ['dns', { state: 'active' }, 0],
  ])('%s %j: %i', (section, wanted, count) => {
    expect(select(all, section, { ...ANY, ...wanted })[section].length).toBe(count);
  });

  test('of one section only', () => {
    expect(select(all, 'peers', { ...ANY, which: 'nobody' })).toEqual({ ...all, peers: [] });
  });
});
