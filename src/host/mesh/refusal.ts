// Why a link did not come to be, in words for the operator: every way in which a dial or a caller can fail, with what, why and
// fix. Both sides of a refusal come to it by themselves (each sees the other's certificate and Hello), so both can say it.

import type { ErrorCode, Explanation } from '../../base/errors.ts';
import type { BootId, ClusterId, PeerId } from '../../base/ids.ts';
import type { CertificateFault } from './certificate.ts';
import type { CloseReason } from './connection.ts';
import type { GoodbyeReason, Hello } from './envelope.ts';

export interface Refusal extends Explanation {
  readonly code: ErrorCode;
  readonly why: string;
  readonly fix: string;
}

/** The other side: `HOST:PORT` as dialled, or the address that called us. */
interface Party {
  readonly name: string;
  /** True when we dialled it. */
  readonly dialled: boolean;
}

function subject({ name, dialled }: Party): string {
  return dialled ? `can't join ${name}` : `refused a connection from ${name}`;
}

export function certificateRefusal(party: Party, fault: CertificateFault, own: ClusterId): Refusal {
  const what = subject(party);
  switch (fault.fault) {
    case 'other-cluster':
      return {
        code: 'cluster-mismatch',
        what,
        why: `it belongs to cluster ${fault.clusterId}, this host's token to cluster ${own}`,
        fix: "Use the token that 'fabric token' prints on a host of the cluster that is meant",
      };
    case 'other-generation':
      if (fault.generation > fault.newest) return outdated(party, fault);
      return {
        code: 'token-refused',
        what,
        why: `it uses generation ${fault.generation} of the cluster's token, which is not valid here`,
        fix: "Use the current token: 'fabric token' on a member prints it",
      };
    case 'other-secret':
      return {
        code: 'token-refused',
        what,
        why: `it names the same cluster ${own}, but its certificate was made with another secret`,
        fix: "One of the two has a wrong token: compare them with 'fabric token' on both hosts",
      };
    case 'name-forged':
      return {
        code: 'token-refused',
        what,
        why: 'its certificate carries a peer id that is not the hash of its key',
        fix: 'Find out what runs there: it is no unmodified fabric',
      };
    case 'not-fabric':
      return notFabric(party, 'its certificate is none of fabric');
  }
}

/** It holds a token that we hold, too, but not the one that we showed. */
export function otherToken(party: Party, generation: number): Refusal {
  return {
    code: 'token-refused',
    what: subject(party),
    why: `it has not got further than generation ${generation} of the cluster's token`,
    fix: 'Wait: it learns the current token as soon as it is linked',
  };
}

/** A token two rotations old opens nothing: only an operator can bring the new one. */
function outdated(party: Party, { generation, newest }: { generation: number; newest: number }): Refusal {
  return {
    code: 'token-outdated',
    what: subject(party),
    why: `it uses generation ${generation} of the cluster's token, this host's newest is ${newest}`,
    fix: "Bring the current token: 'fabric token' on a member prints it; here 'fabric stop', then 'fabric launch --token-file FILE'",
  };
}

export function notFabric(party: Party, why: string): Refusal {
  const fix = 'Check address and port: 6783 is the mesh port unless --port moved it';
  return { code: 'peer-unreachable', what: subject(party), why, fix };
}

export function versionRefusal(party: Party, own: Hello, theirs: Hello): Refusal {
  const range = ({ version, protocolMin, protocolMax }: Hello): string =>
    `fabric ${version} (protocol ${protocolMin} to ${protocolMax})`;
  return {
    code: 'version-mismatch',
    what: subject(party),
    why: `it runs ${range(theirs)}, this host ${range(own)}`,
    fix: 'Upgrade the older of the two; neighbouring versions work together',
  };
}

export function genesisRefusal(party: Party): Refusal {
  return {
    code: 'cluster-mismatch',
    what: subject(party),
    why: 'both hosts created a cluster from the same token, and the two clusters have different beginnings',
    fix: "Decide which one stays; on each host of the other run 'fabric reset' and launch it with --join",
  };
}

export function genesisForged(party: Party): Refusal {
  return {
    code: 'cluster-mismatch',
    what: subject(party),
    why: 'what it says about the beginning of the cluster is not signed by its creator',
    fix: 'Join another member; find out what runs there',
  };
}

export function bothJoining(party: Party): Refusal {
  return {
    code: 'peer-unreachable',
    what: subject(party),
    why: 'both are waiting to join: neither belongs to the cluster yet',
    fix: "Launch the cluster's first host without --join, or with --init and the token",
  };
}

export function cloneRefusal(party: Party, peer: PeerId, boots: readonly [BootId, BootId]): Refusal {
  return {
    code: 'identity-clone',
    what: subject(party),
    why: `two live hosts use the identity of peer ${peer} (boots ${boots[0]} and ${boots[1]})`,
    fix: "One is a copy of the other's disk: run 'fabric reset --force' on the copy and join again",
  };
}

/** What a peer tells us of our own identity. */
export function ownClone(what: string, why: string): Refusal {
  const fix = "If this disk is a copy of another host's: run 'fabric reset --force' here and join again";
  return { code: 'identity-clone', what, why, fix };
}

/** A peer says that an operator has removed us. */
export function ownRemoval(party: Party, why: string): Refusal {
  const fix = "Run 'fabric reset --force' here and join anew";
  return { code: 'peer-removed', what: `${party.name} turned this host away`, why, fix };
}

/** Refusals that tell the other side in a word what it can do. */
const GOODBYES: ReadonlyMap<ErrorCode, GoodbyeReason> = new Map([
  ['peer-removed', 'removed'],
  ['token-refused', 'token'],
]);

/** With which word a refused connection ends. */
export function goodbyeOf({ code }: Refusal): GoodbyeReason {
  return GOODBYES.get(code) ?? 'refused';
}

/** The other side decided that the two of us shall not be linked. */
export function isRefusal(reason: CloseReason): boolean {
  return reason === 'refused' || reason === 'token';
}

/** An exchange that ended without a verdict of ours, e.g. because the other side refuses us. */
export function closedEarly(party: Party, reason: CloseReason, detail: string): Refusal {
  const what = subject(party);
  if (reason === 'token') {
    return {
      code: 'token-refused',
      what,
      why: "the cluster's token was replaced, and this host has the one before",
      fix: "Use the current token: 'fabric token' on a member prints it",
    };
  }
  return {
    code: 'peer-unreachable',
    what,
    why: `it closed the connection: ${detail === '' ? reason : detail}`,
    fix: 'Look at the log of fabric on that host',
  };
}

/** What dialling failed of before TLS; `cause` is an errno name or `timeout`. */
export function unreachable(party: Party, cause: string): Refusal {
  const what = subject(party);
  const code = 'peer-unreachable';
  switch (cause) {
    case 'ECONNREFUSED':
      return { code, what, why: 'nothing listens there', fix: 'Start fabric on that host, or correct the port' };
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return { code, what, why: 'there is no route to it', fix: 'Check the address and the routes of this host' };
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return { code, what, why: 'its name has no address', fix: 'Correct the name, or give the address instead' };
    case 'timeout': {
      const fix = 'Check that the host is up and that no firewall drops the port (TCP and UDP)';
      return { code, what, why: 'it does not answer', fix };
    }
    default:
      return { code, what, why: `the connection failed (${cause})`, fix: 'Check the network between the two hosts' };
  }
}
