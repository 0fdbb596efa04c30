// The times that drive tunnels' handshakes, WireGuard's where it has them (§6 of its paper). Those of the watch over a session are
// in traffic-watch.ts.

/** From WireGuard. */
export const REKEY_AFTER_MS = 120_000;
export const REJECT_AFTER_MS = 180_000;
export const REKEY_TIMEOUT_MS = 5_000;
export const REKEY_ATTEMPT_MS = 90_000;
const RETRY_JITTER_MS = 333;
export const INITIATION_INTERVAL_MS = 20;

/** Our tuning. */
/** The initiator rekeys up to this much before 120 s, at random, so that tunnels made together do not rekey together. */
const REKEY_JITTER_MS = 10_000;
/** The responder rekeys only when the initiator has not managed to by then, 30 s before both refuse the key. */
const RESPONDER_REKEY_AFTER_MS = 150_000;
/** First retries, and the first round over a peer's endpoints: a lost datagram shall not cost a new container 5 s. */
export const QUICK_RETRY_MS = 1_000;
export const QUICK_RETRIES = 2;
/** Relays are tried this long after an endpoint, so that a direct answer is taken first; longer than INITIATION_INTERVAL_MS. */
export const RELAY_STAGGER_MS = 100;
/** And again this long after that: a relay that had no session with the peer has made one by then. */
export const RELAY_AGAIN_MS = 400;
export const RELAY_TRIES = 2;
/** How long a responder that has frames waiting trusts the initiator to confirm before it initiates itself. */
export const CONFIRM_WAIT_MS = 1_000;
/** What a NAT forgets after 30 s (Linux; RFC 4787 REQ-5 asks for two minutes) is refreshed this often. */
export const NAT_KEEPALIVE_MS = 20_000;
/** How often traffic is looked at while a session lives. */
export const POLL_MS = 1_000;
export const IDLE_POLL_MS = 60_000;

/** When to start replacing a session; `fraction` is random in [0, 1). */
export function rekeyTimeMs(createdMs: number, initiator: boolean, fraction: number): number {
  return createdMs + (initiator ? REKEY_AFTER_MS - fraction * REKEY_JITTER_MS : RESPONDER_REKEY_AFTER_MS);
}

/** Until the next try of a handshake: `attempts` so far, over `endpoints` addresses; slow when an earlier series failed. */
export function retryDelayMs(
  { attempts, endpoints, patient }: { attempts: number; endpoints: number; patient: boolean },
  fraction: number,
): number {
  const quick = !patient && attempts <= Math.max(QUICK_RETRIES, endpoints);
  return (quick ? QUICK_RETRY_MS : REKEY_TIMEOUT_MS) + fraction * RETRY_JITTER_MS;
}
