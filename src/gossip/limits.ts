// Every bound and every time of the gossip core in one place, with the reason for its size. Bounds that peers must agree
// on (what a valid map is) belong to the protocol; the times are tuning and may differ between hosts.

export interface GossipLimits {
  /** Bytes of one author's packed map: a host with 1,000 containers needs about 100 KB. Protocol. */
  readonly mapBytesMax: number;
  /** Entries of one author's map, tombstones included. Protocol. */
  readonly entriesMax: number;
  /** Bytes of one value, at most 65,534. Protocol. */
  readonly valueBytesMax: number;
  /** Authors that this host keeps, itself included; more are dropped and counted. */
  readonly authorsMax: number;
  /** Bytes of all maps together; an author that does not fit is dropped and counted. */
  readonly totalBytesMax: number;
  /** Items (states, heads, wants) of one message. Protocol: a message with more is malformed. */
  readonly itemsMax: number;
  /** States of one message: bounds the signatures that one message makes its receiver verify. Protocol. */
  readonly statesMax: number;
  /** A message is closed once it holds this many bytes; only one that carries a single large map grows beyond. */
  readonly messageBytesTarget: number;
  /** Received messages above this are dropped unread: the largest map and its head. */
  readonly messageBytesMax: number;
  /** Deletions remembered for older receivers: the larger of this and the number of live entries. */
  readonly tombstonesMin: number;
  /** Authors of whom it is remembered which neighbours get their changes earlier from others. */
  readonly treesMax: number;
  /** Departed authors whose return is refused. */
  readonly forgottenMax: number;
}

export interface GossipTimes {
  /** Mean pause between two digest exchanges with a random neighbour; jittered by half. 20 bytes when nothing differs. */
  readonly reconcileMs: number;
  /**
   * Least pause between two pushes or prunes over one link, and between two pushes of our own changes: the first leaves at once,
   * those of a busy cluster share messages. See {@link PAUSE_STRETCH_MAX}.
   */
  readonly pushMs: number;
  /** How long news waits at least, and at most twice, before it is announced: batches changes, and lets the push overtake. */
  readonly lazyMs: number;
  /** A holder that stays silent this long after it was asked loses the turn to the next. */
  readonly askTimeoutMs: number;
  /** The same for news, which several neighbours have: the next of them is asked too, and whoever answers first is fine. */
  readonly askNewsTimeoutMs: number;
  /** Announcements of an author that was refused are not followed for this time. */
  readonly refusedMs: number;
  /** Pause between two batches of others' states to disk: what is lost is only fetched again. */
  readonly persistMs: number;
}

/** Keys have 1 to this many bytes of printable ASCII (0x21 to 0x7e). Protocol. */
export const KEY_BYTES_MAX = 128;
/** Marks a tombstone in the 16-bit length of a value. */
export const TOMBSTONE_LENGTH = 0xffff;

const MAP_BYTES_MAX = 2 * 1024 * 1024;

export const GOSSIP_LIMITS: GossipLimits = {
  mapBytesMax: MAP_BYTES_MAX,
  entriesMax: 32_768,
  valueBytesMax: 16_384,
  authorsMax: 16_384,
  totalBytesMax: 1024 * 1024 * 1024,
  itemsMax: 16_384,
  statesMax: 256,
  messageBytesTarget: 64 * 1024,
  messageBytesMax: MAP_BYTES_MAX + 64 * 1024,
  tombstonesMin: 64,
  treesMax: 16_384,
  forgottenMax: 16_384,
};

export const GOSSIP_TIMES: GossipTimes = {
  reconcileMs: 3_000,
  pushMs: 10,
  lazyMs: 30,
  askTimeoutMs: 2_000,
  askNewsTimeoutMs: 150,
  refusedMs: 10_000,
  persistMs: 1_000,
};

/** Asks outstanding per neighbour: enough to fill a link, few enough that a slow holder does not keep all the work. */
export const ASKED_PER_LINK_MAX = 256;
/** Neighbours remembered as holders of one missing state. */
export const HOLDERS_MAX = 4;
/** Changes that flood, because their author has no tree yet, and wait for one link per unstretched pause; more are announced. */
export const FLOODS_WAITING_MAX = 4;
/** Up to this rate of news in the whole cluster no pause stretches; above it they stretch in proportion (pace.ts). */
export const CALM_NEWS_PER_SECOND = 10;
/** Who hears of a change in a busy mesh besides those to whom it is pushed, so that whoever was missed asks for it. */
export const WITNESSES_MAX = 2;
/** Of one push so many versions count as news at most, whatever it claims. */
export const NEWS_VERSIONS_MAX = 64;
/** The time over which the rate of news is taken. */
export const NEWS_WINDOW_MS = 1_000;
/** A busy mesh that brings nothing new for so long has come to its end: longer than a push waits for company. */
export const RUSH_OVER_MS = 500;
/**
 * How often its least length a pause may last. At 500 changes per second our own changes leave every 500 ms, so that an author
 * of many signs once for all of them; each hop of the push adds up to 200 ms. 5 hops lead through 1,000 hosts.
 */
export const PAUSE_STRETCH_MAX = { ownPush: 50, push: 20, lazy: 20, reconcile: 20 } as const;
/** States written to disk per batch. */
export const PERSIST_BATCH_MAX = 256;
