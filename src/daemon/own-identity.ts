// Who this host is, as the daemon keeps it: the tokens that it holds and, from admission on, the identity file, which follows each
// change of them. Invariant: nothing is durable before admission, and afterwards nothing is used that is not.

import type { Clock, Crypto, Store } from '../base/capabilities.ts';
import { assert } from '../base/errors.ts';
import { firstState, Keyring, type KeyringState } from '../base/keyring.ts';
import type { Token } from '../base/token.ts';
import type { HostIdentity, HostKeys } from '../host/identity-file.ts';
import type { StateDir } from '../host/state-dir.ts';

interface Keeping {
  readonly clock: Clock;
  readonly crypto: Crypto;
  readonly stateDir: Pick<StateDir, 'admit' | 'updateIdentity'>;
}

export class OwnIdentity {
  readonly keyring: Keyring;
  readonly #stateDir: Keeping['stateDir'];
  #identity: HostIdentity | null;

  /** Of a member that resumes, or of a host that has a token and wants to be one. */
  constructor(state: HostIdentity | Token, { clock, crypto, stateDir }: Keeping) {
    this.#stateDir = stateDir;
    this.#identity = 'keys' in state ? state : null;
    const held = 'keys' in state ? state : firstState(state);
    this.keyring = new Keyring(held, { clock, crypto, keep: (tokens) => this.#keep(tokens) });
  }

  /** Makes this host a member, durably. Once. */
  admit({ keys, genesis }: { readonly keys: HostKeys; readonly genesis: Uint8Array }): {
    readonly identity: HostIdentity;
    readonly store: Store;
  } {
    const identity = { keys, genesis, ...firstState(this.keyring.current.token) };
    const store = this.#stateDir.admit(identity);
    this.#identity = identity;
    return { identity, store };
  }

  #keep(tokens: KeyringState): void {
    assert(this.#identity !== null, 'only a member takes in further tokens');
    const identity = { ...this.#identity, ...tokens };
    this.#stateDir.updateIdentity(identity);
    this.#identity = identity;
  }
}
