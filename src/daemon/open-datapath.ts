// Makes this host's datapath, not started: the kernel's port for it first, then whatever moves that port's frames. Which one
// is decided by datapath-choice.ts.

import { FabricError } from '../base/errors.ts';
import { DEFAULT_VNI } from '../base/ids.ts';
import { nativeFile, peerCredentials } from '../host/native.ts';
import type { Datapath, DatapathOptions } from '../router/datapath.ts';
import { ENGINE_LACKS, EngineDatapath } from '../router/engine/engine-datapath.ts';
import { endLeftEngine, enginePlace } from '../router/engine/left-engine.ts';
import { PcapDatapath } from '../router/pcap/pcap-datapath.ts';
import type { HostDatapath } from './datapath-choice.ts';
import type { NetworkFacts } from './genesis.ts';
import type { MemberOptions } from './member-options.ts';
import type { SimulatedLack } from './simulated-lacks.ts';

const ENGINE_FILE = 'fabric-engine';

export type DatapathNeeds = Pick<
  MemberOptions,
  'identity' | 'host' | 'settings' | 'genesis' | 'underlayMtu' | 'listen' | 'clock' | 'log'
> & { readonly runDir: string; readonly without: readonly SimulatedLack[] };

/** Ends the engine that a daemon left behind; true when there was one. Rejects with `port-in-use` when one controls it. */
export function endEngineOf(runDir: string): Promise<boolean> {
  return endLeftEngine(enginePlace(runDir, peerCredentials));
}

/** Rejects with the FabricError of the port, or of a native build that is not there. */
export async function openDatapath(options: DatapathNeeds, facts: NetworkFacts, name: HostDatapath): Promise<Datapath> {
  const { identity, host, settings, genesis, underlayMtu, listen, clock, log, runDir, without } = options;
  if (name !== 'engine') await endEngineOf(runDir); // it would hold the UDP port
  if (name === 'engine' && without.includes('tap')) {
    throw new FabricError('kernel-feature-missing', { what: "can't make a TAP", why: 'a test took it away' });
  }
  const { portName, tcp4SuperframeBytes } = await host.ensureDatapathPort(name === 'engine' ? 'tap' : 'veth');
  const datapathOptions: DatapathOptions = {
    self: identity.keys.peer,
    portName,
    network: DEFAULT_VNI,
    listen: { ip: listen, port: settings.port },
    mtu: genesis.mtu,
    pathMtu: underlayMtu,
    gatewayMac: facts.gatewayMac,
    gatewayIps: facts.gatewayIps,
  };
  if (name === 'pcap') return new PcapDatapath(datapathOptions, { clock, log });
  return new EngineDatapath(datapathOptions, {
    log,
    executable: nativeFile(ENGINE_FILE),
    place: enginePlace(runDir, peerCredentials),
    ...(tcp4SuperframeBytes === undefined ? {} : { tcp4SuperframeBytes }),
    without: ENGINE_LACKS.filter((lack) => without.includes(lack)),
  });
}
