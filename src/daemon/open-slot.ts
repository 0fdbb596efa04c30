// Makes the slot that holds a member's datapath: the events of tunnels go to the control side of the tunnels, others to the member.

import type { DatapathEvents, TableChange } from '../router/datapath.ts';
import type { Tunnels } from '../router/tunnels.ts';
import { DatapathChoice } from './datapath-choice.ts';
import { DatapathSlot } from './datapath-slot.ts';
import type { NetworkFacts } from './genesis.ts';
import type { MemberOptions } from './member-options.ts';

export interface SlotParts {
  readonly facts: NetworkFacts;
  /** Asked for when something happens, not before: tunnels are made of the slot. */
  tunnels(): Tunnels;
  tables(): readonly TableChange[];
  readonly learned: DatapathEvents['learned'];
}

export function openSlot(
  { log, timers, clock, settings, tell, openDatapath }: MemberOptions,
  parts: SlotParts,
): DatapathSlot {
  const { facts, tunnels, tables, learned } = parts;
  const slot: DatapathSlot = new DatapathSlot({
    log,
    timers,
    choice: new DatapathChoice(settings.datapath, clock),
    make: (name) => openDatapath(facts, name),
    events: {
      handshake: (datagram, from) => tunnels().handleDatagram(datagram, from),
      sessionWanted: (peer) => tunnels().sessionWanted(peer),
      relayWanted: (peer) => tunnels().relayWanted(peer),
      sessionConfirmed: (localIndex) => tunnels().sessionConfirmed(localIndex),
      roamed: (peer, endpoint) => tunnels().roamed(peer, endpoint),
      probeAnswered: (peer, bytes) => tunnels().probeAnswered(peer, bytes),
      sessionExhausted: (localIndex) => tunnels().sessionExhausted(localIndex),
      learned,
    },
    tables,
    started: (left) => {
      tell({ kind: 'datapath-started', what: `the ${slot.name} datapath moves frames` });
      tunnels().begin(left);
    },
    replaced: () => {
      tell({ kind: 'datapath-failed', what: `no frame crosses between hosts: ${slot.failure}` });
      tunnels().close();
    },
  });
  return slot;
}
