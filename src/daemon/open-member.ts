// Makes a member of this host: from what the daemon has by then (state, settings, mesh) and from what of the machine a member uses.

import { hasAesInstructions } from '../host/cpu.ts';
import { PcapPort } from '../router/pcap/pcap-port.ts';
import { Member } from './member.ts';
import type { MemberOptions } from './member-options.ts';
import { kernelBootId, openNamespace } from './namespaces.ts';
import { openDatapath } from './open-datapath.ts';
import { openNameSockets } from './open-name-sockets.ts';
import { listenAddress } from './own-endpoints.ts';
import type { SimulatedLack } from './simulated-lacks.ts';

type FromDaemon = 'clock' | 'timers' | 'random' | 'crypto' | 'log' | 'host';
export interface MemberCapabilities extends Pick<MemberOptions, FromDaemon> {
  /** Features of the machine that a test takes away. */
  readonly without: readonly SimulatedLack[];
}

type FromMachine =
  | 'listen'
  | 'openDatapath'
  | 'kernelBootId'
  | 'hasAes'
  | 'openProbe'
  | 'openNamespace'
  | 'nameSockets';
/** What is left of a member's options. */
export type MemberWiring = Omit<MemberOptions, FromMachine | keyof MemberCapabilities> & { readonly runDir: string };

/** Starts nothing. Throws `state-damaged`. */
export function openMember(
  { clock, timers, random, crypto, log, host, without }: MemberCapabilities,
  { runDir, ...wiring }: MemberWiring,
): Member {
  const listen = listenAddress(wiring.settings);
  return new Member({
    ...wiring,
    clock,
    timers,
    random,
    crypto,
    log,
    host,
    listen,
    openDatapath: (facts, name) => openDatapath({ ...wiring, host, listen, clock, log, without, runDir }, facts, name),
    kernelBootId: kernelBootId(),
    hasAes: !without.includes('aes') && hasAesInstructions(),
    openProbe: (ifname) => new PcapPort(ifname, clock),
    openNamespace,
    nameSockets: openNameSockets(),
  });
}
