// The acceptor of single-decree Paxos (Lamport, "Paxos Made Simple") for the one slot that is to be decided next. What it promised and
// accepted is durable, and marked in this host's own published records, before anybody hears of it: an old copy of the state finds
// the newer mark at its peers and abstains in that slot. A ballot that names a host as its target closes this voter to that host
// until the slot is decided: it reports what the host owns as far as it knows, and confirms nothing of it any more.

import { ByteReader, ByteWriter, toHex } from '../../base/bytes.ts';
import type { Store } from '../../base/capabilities.ts';
import { FabricError } from '../../base/errors.ts';
import { type PeerId, parsePeerId } from '../../base/ids.ts';
import { idBytes } from '../wire-fields.ts';
import {
  type Ballot,
  compareBallots,
  readBallot,
  readTitles,
  readValue,
  type Title,
  type Value,
  writeBallot,
  writeTitles,
  writeValue,
} from './decision.ts';

/** Hosts that ballots of one slot may name. */
const CLOSED_MAX = 16;
const FORMAT = 1;
const KEY = 'acceptor';

export interface Accepted {
  readonly ballot: Ballot;
  readonly value: Value;
}

/** How far this voter has voted: what it publishes of itself. Each change in a slot is one more. */
export interface Mark {
  readonly slot: number;
  readonly change: number;
}

interface State {
  readonly slot: number;
  readonly change: number;
  readonly promised: Ballot;
  readonly accepted: Accepted | null;
  /** Whom it answered ballots against in this slot, and what they owned as far as it knew. */
  readonly closed: ReadonlyMap<PeerId, readonly Title[]>;
}

const NO_BALLOT: Ballot = { round: 0, proposer: '0'.repeat(32) as PeerId };

export class Acceptor {
  readonly #store: Store;
  readonly #space: string;
  #state: State = freshState(0);
  /** Slots up to this one were voted in by a newer state than ours. */
  #abstainsThrough = -1;

  /** Throws FabricError `state-damaged`. */
  constructor({ store, network }: { readonly store: Store; readonly network: number }) {
    this.#store = store;
    this.#space = `ipam/${network}/vote`;
    const bytes = store.get(this.#space, KEY);
    if (bytes === undefined) return;
    const state = decodeState(bytes);
    if (state === null) throw damaged();
    this.#state = state;
  }

  get mark(): Mark {
    const { slot, change } = this.#state;
    return { slot, change };
  }

  /** The highest ballot answered in this slot. */
  promised(slot: number): Ballot {
    return slot === this.#state.slot ? this.#state.promised : NO_BALLOT;
  }

  accepted(slot: number): Accepted | null {
    return slot === this.#state.slot ? this.#state.accepted : null;
  }

  /** What the host owned when this voter was closed to it in this slot; null: it is not. */
  closedTo(slot: number, peer: PeerId): readonly Title[] | null {
    return slot === this.#state.slot ? (this.#state.closed.get(peer) ?? null) : null;
  }

  /** All that hosts owned to which this voter is closed in this slot. */
  contested(slot: number): readonly Title[] {
    return slot === this.#state.slot ? [...this.#state.closed.values()].flat() : [];
  }

  abstains(slot: number): boolean {
    return slot <= this.#abstainsThrough;
  }

  /** Our own published mark, as peers have it. True when it is newer than our state: we run on an old copy. */
  sawOwnMark(mark: Mark): boolean {
    const { slot, change } = this.mark;
    if (mark.slot < slot || (mark.slot === slot && mark.change <= change)) return false;
    this.#abstainsThrough = Math.max(this.#abstainsThrough, mark.slot);
    return true;
  }

  /** Phase 1; durable when it returns. False: a higher ballot was answered. `target`: whom it is against and what that host owns. */
  prepare(
    slot: number,
    ballot: Ballot,
    target: { readonly peer: PeerId; readonly titles: readonly Title[] } | null,
  ): boolean {
    const { promised, accepted, closed } = this.#at(slot);
    if (compareBallots(ballot, promised) < 0) return false;
    const closedNow = new Map(closed);
    if (target !== null && !closedNow.has(target.peer)) {
      if (closedNow.size >= CLOSED_MAX) return false;
      closedNow.set(target.peer, target.titles);
    }
    this.#save({ slot, promised: ballot, accepted, closed: closedNow });
    return true;
  }

  /** Phase 2; durable when it returns. False: a higher ballot was answered. */
  accept(slot: number, ballot: Ballot, value: Value): boolean {
    const { promised, closed } = this.#at(slot);
    if (compareBallots(ballot, promised) < 0) return false;
    this.#save({ slot, promised: ballot, accepted: { ballot, value }, closed });
    return true;
  }

  #at(slot: number): State {
    return slot === this.#state.slot ? this.#state : freshState(slot);
  }

  #save(next: Omit<State, 'change'>): void {
    const state = { ...next, change: this.#at(next.slot).change + 1 };
    this.#store.put(this.#space, KEY, encodeState(state));
    this.#state = state;
  }
}

function freshState(slot: number): State {
  return { slot, change: 0, promised: NO_BALLOT, accepted: null, closed: new Map() };
}

function encodeState({ slot, change, promised, accepted, closed }: State): Uint8Array {
  const writer = new ByteWriter(256).u8(FORMAT).u32(slot).u32(change);
  writeBallot(writer, promised);
  writer.u8(accepted === null ? 0 : 1);
  if (accepted !== null) {
    writeBallot(writer, accepted.ballot);
    writeValue(writer, accepted.value);
  }
  writer.u8(closed.size);
  for (const [peer, titles] of closed) {
    writer.bytes(idBytes(peer));
    writeTitles(writer, titles);
  }
  return writer.finish();
}

function decodeState(bytes: Uint8Array): State | null {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  const slot = reader.u32();
  const change = reader.u32();
  const promised = readBallot(reader);
  let accepted: Accepted | null = null;
  if (reader.u8() === 1) {
    const ballot = readBallot(reader);
    const value = readValue(reader);
    if (value === null) return null;
    accepted = { ballot, value };
  }
  const closed = new Map<PeerId, readonly Title[]>();
  const count = reader.u8();
  for (let i = 0; i < count; i++) {
    const peer = parsePeerId(toHex(reader.bytes(16)));
    const titles = readTitles(reader);
    if (peer === null || titles === null) return null;
    closed.set(peer, titles);
  }
  const whole = format === FORMAT && !reader.failed && reader.remaining === 0;
  return whole ? { slot, change, promised, accepted, closed } : null;
}

function damaged(): FabricError {
  return new FabricError('state-damaged', {
    what: 'what this host voted about leases of hosts that are gone can’t be read',
    why: 'its bytes were altered',
    fix: 'restore the state directory from a copy, or run `fabric reset` and join again',
  });
}
