// Makes this host's datapath, not started: the kernel's port for it first, then whatever reads that port. `pcap` is the only
// one that there is; which one to make is decided here.

import { DEFAULT_VNI } from '../base/ids.ts';
import type { Datapath } from '../router/datapath.ts';
import { PcapDatapath } from '../router/pcap/pcap-datapath.ts';
import type { NetworkFacts } from './genesis.ts';
import type { MemberOptions } from './member-options.ts';

/** Rejects with the FabricError of the port. */
export async function openDatapath(options: MemberOptions, facts: NetworkFacts): Promise<Datapath> {
  const { host, settings, genesis, underlayMtu, listen, clock, log } = options;
  const { portName } = await host.ensureDatapathPort();
  return new PcapDatapath(
    {
      portName,
      network: DEFAULT_VNI,
      listen: { ip: listen, port: settings.port },
      mtu: genesis.mtu,
      pathMtu: underlayMtu,
      gatewayMac: facts.gatewayMac,
      gatewayIps: facts.gatewayIps,
    },
    { clock, log },
  );
}
