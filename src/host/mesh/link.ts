// A link: the one promoted connection to a peer, as the daemon sees it. Before promotion the same object is a contender in the
// peer's LinkElection. Everything it shows was proved by the certificate or said in the Hello, as marked.

import type { Clock } from '../../base/capabilities.ts';
import type { Endpoint } from '../../base/endpoint.ts';
import type { BootId, PeerId, TokenId } from '../../base/ids.ts';
import type { CloseReason, Connection } from './connection.ts';
import type { Channel, GoodbyeReason, Hello } from './envelope.ts';
import type { Contender } from './link-election.ts';

export class Link implements Contender {
  /** Proved. */
  readonly peer: PeerId;
  /** Ed25519 public key, 32 bytes; proved. */
  readonly identityKey: Uint8Array;
  /** The token behind the peer's certificate; proved. */
  readonly token: TokenId;
  /** Said. */
  readonly hello: Hello;
  /** The highest version that both sides speak. */
  readonly protocol: number;
  /** True when we dialled. */
  readonly dialled: boolean;
  /** Where the peer is reached: as dialled, or where it called from with the port that it says. Observed. */
  readonly endpoint: Endpoint;
  readonly #connection: Connection;
  readonly #clock: Clock;
  #upMs: number | null = null;

  constructor(options: {
    readonly connection: Connection;
    readonly hello: Hello;
    readonly protocol: number;
    readonly endpoint: Endpoint;
    readonly clock: Clock;
  }) {
    const { certified } = options.connection;
    this.peer = certified.peer;
    this.identityKey = certified.identityKey;
    this.token = certified.id;
    this.hello = options.hello;
    this.protocol = options.protocol;
    this.dialled = options.connection.dialled;
    this.endpoint = options.endpoint;
    this.#connection = options.connection;
    this.#clock = options.clock;
  }

  get bootId(): BootId {
    return this.hello.bootId;
  }

  /** Clock.monotonicMs since which it is a link; null before. */
  get upMs(): number | null {
    return this.#upMs;
  }

  /** Clock.monotonicMs of the last sign of life. */
  get heardMs(): number {
    return this.#connection.heardMs;
  }

  /** Round trip of the last ping in milliseconds; null before the first answer. */
  get rttMs(): number | null {
    return this.#connection.rttMs;
  }

  /** Bytes that wait to leave. */
  get queuedBytes(): number {
    return this.#connection.queuedBytes;
  }

  /**
   * Takes the message in any case, as long as the link is up (the array must not change afterwards). False asks for no more
   * until `writable`; a sender that goes on all the same ends the link at 16 MiB.
   */
  send(channel: Channel, bytes: Uint8Array): boolean {
    return this.#connection.send(channel, bytes);
  }

  ping(): void {
    this.#connection.ping();
  }

  /** Tells the peer that a second live host uses its identity; `detail` says which and where. */
  tellClone(detail: string): void {
    this.#connection.tellClone(detail);
  }

  welcome(): void {
    this.#connection.welcome();
  }

  promote(): void {
    this.#upMs = this.#clock.monotonicMs();
    this.#connection.promote();
  }

  close(reason: GoodbyeReason, detail = ''): void {
    this.#connection.close(reason, detail);
  }

  abandon(reason: CloseReason): void {
    this.#connection.abandon(reason);
  }
}
