// What happens on a host that an operator may want to know of, as `fabric events` and GET /v1/events tell it (docs/events.md).
// Kinds are stable and only ever added; the sentence is for people.

export const EVENT_KINDS = [
  'started',
  'joined',
  'peer-new',
  'peer-alive',
  'peer-suspect',
  'peer-dead',
  'peer-gone',
  'tunnel-established',
  'tunnel-failed',
  'tunnel-silent',
  'tunnel-answering',
  'tunnel-relayed',
  'tunnel-direct',
  'datapath-started',
  'datapath-failed',
  'attached',
  'detached',
  'elsewhere',
  'moved',
  'duplicate',
  'lease-active',
  'lease-idle',
  'lease-space',
  'problem',
  'problem-solved',
  'notice',
  'notice-gone',
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

/** What is told; who keeps it adds number and time. */
export interface News {
  readonly kind: EventKind;
  /** A sentence. */
  readonly what: string;
  /** The host that it is about, when that is another one. */
  readonly peer?: string;
  /** What else it is about: a container, a block, the code of a problem. */
  readonly subject?: string;
}

/** Synchronous, and never calls back into whoever tells. */
export type Tell = (news: News) => void;

export interface FabricEvent {
  /** 1, 2, … since the daemon started. */
  readonly sequence: number;
  /** RFC 3339, by this host's clock. */
  readonly time: string;
  readonly kind: EventKind;
  readonly what: string;
  readonly peer: string | null;
  readonly subject: string | null;
}

/** Answer of GET /v1/events. */
export interface EventPage {
  /** Of this run of the daemon: sequence numbers of another one mean something else. */
  readonly bootId: string;
  /** Of the newest event; 0 when there was none yet. */
  readonly last: number;
  /** Events after the wanted one that are not kept any more. */
  readonly lost: number;
  /** Oldest first. */
  readonly events: readonly FabricEvent[];
}
