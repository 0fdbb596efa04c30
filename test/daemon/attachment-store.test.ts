import { expect, test } from 'vitest';
import { DEFAULT_VNI, type Mac, type Vni } from '../../src/base/ids.ts';
import { type AttachmentEntry, AttachmentStore } from '../../src/daemon/attachment-store.ts';
import { MemoryStore } from '../fakes/memory-store.ts';
import { SeededRandom } from '../fakes/seeded-random.ts';

const BLUE = 7 as Vni;

function entry(number: number, vni?: Vni): AttachmentEntry {
  return {
    key: { network: vni === undefined ? 'fabric' : 'blue', containerId: `c${number}`, ifname: 'eth0' },
    ...(vni === undefined ? {} : { vni }),
    owner: 'cni:fabric',
    state: 'attached',
    mac: `02:00:00:00:00:${number.toString(16).padStart(2, '0')}` as Mac,
    hostIfname: `fab${number}`,
    name: '',
    ips: [],
    namespaceDev: '1',
    namespaceIno: `${number}`,
    namespacePath: '',
    defaultRoute: true,
    routes: [],
    result: null,
  };
}

test('counts by network and finds MACs as a walk over all entries does, also after a restart', () => {
  const random = new SeededRandom(3);
  let disk = new MemoryStore();
  let store = new AttachmentStore(disk);
  const oracle = new Map<string, AttachmentEntry>();
  for (let step = 0; step < 500; step++) {
    const number = random.below(12);
    const changed = entry(number, number % 3 === 0 ? BLUE : undefined);
    if (random.below(2) === 0) {
      store.putStep(changed);
      oracle.set(changed.hostIfname, changed);
    } else {
      store.deleteStep(changed.key);
      oracle.delete(changed.hostIfname);
    }
    if (random.below(20) === 0) {
      disk = new MemoryStore(disk.snapshot());
      store = new AttachmentStore(disk);
    }
    const all = [...oracle.values()];
    expect(store.size).toBe(all.length);
    expect(store.countOf(BLUE)).toBe(all.filter(({ vni }) => vni === BLUE).length);
    expect(store.countOf(DEFAULT_VNI)).toBe(all.filter(({ vni }) => vni === undefined).length);
    for (let mac = 0; mac < 12; mac++) {
      expect(store.withMac(entry(mac).mac)).toEqual(all.findLast((each) => each.mac === entry(mac).mac));
    }
  }
});
