import { describe, expect, test } from 'vitest';
import { DEFAULT_VNI, type Mac } from '../../../src/base/ids.ts';
import { ContainerPorts, type ContainerPortsOptions } from '../../../src/host/linux/container-ports.ts';
import { KnownPorts } from '../../../src/host/linux/known-ports.ts';
import type { Overlay } from '../../../src/host/linux/overlays.ts';
import type { Rtnetlink } from '../../../src/host/netlink/rtnetlink.ts';
import { RecordingLog } from '../../fakes/recording-log.ts';

const NAME = 'fab1';
const port = { hostIfname: NAME, mac: '02:00:00:00:00:01' as Mac, ips: ['10.32.0.9'] };
const overlay = { config: { network: DEFAULT_VNI }, bridge: { index: 3 } } as Overlay;

/** A look whose list of links is empty; `meanwhile` happens behind it. */
function setUp({ stands }: { readonly stands: boolean }, meanwhile: (ports: KnownPorts) => void) {
  const ports = new KnownPorts();
  const netlink: Pick<Rtnetlink, 'listFdb' | 'listRoutes' | 'getLink'> = {
    listFdb: async () => {
      meanwhile(ports);
      return [];
    },
    listRoutes: async () => [],
    getLink: async () => (stands ? ({ name: NAME, index: 7 } as Awaited<ReturnType<Rtnetlink['getLink']>>) : null),
  };
  const containers = new ContainerPorts({ netlink, log: new RecordingLog() } as unknown as ContainerPortsOptions);
  return { ports, look: () => containers.repairAll(overlay, ports, new Map()) };
}

describe('a look at all ports', () => {
  test('takes one that was made since the links were listed for alive', async () => {
    const { ports, look } = setUp({ stands: true }, (known) => known.update(NAME, { index: 7, live: true }));
    ports.set({ network: DEFAULT_VNI, port, index: null, live: false });
    expect(await look()).toEqual([]);
    expect(ports.named(NAME)?.index).toBe(7);
  });

  test('reports once that one has vanished', async () => {
    const { ports, look } = setUp({ stands: false }, () => {});
    ports.set({ network: DEFAULT_VNI, port, index: 7, live: true });
    expect([await look(), await look()]).toEqual([[true], []]);
  });
});
