// Which rows of a status section somebody wants to see: by what they are called (a nickname, an id or its beginning, a MAC, an
// address, a block, a name), by host, by state. Of all that is asked for, everything must hold.

import type { Status, StatusSection } from '../../daemon/status-types.ts';

export interface Wanted {
  /** What the row is called; null: any. */
  readonly which: string | null;
  /** Nickname, id or beginning of an id of the host that the row is about; null: any. */
  readonly peer: string | null;
  readonly state: string | null;
  readonly network: string | null;
}

export const ANY: Wanted = { which: null, peer: null, state: null, network: null };

type RowOf<S extends StatusSection> = Status[S][number];

/** What there is to know a row by. Ids may be cut off at the end. */
interface Handles {
  readonly names: readonly (string | null)[];
  readonly ids: readonly string[];
  /** The host that it is about. */
  readonly peer: string;
  readonly state: string | null;
  readonly network: string | null;
}

/** Shorter beginnings of ids would often be those of several. */
const ID_CHARS_MIN = 4;

const HANDLES: { readonly [S in StatusSection]: (row: RowOf<S>, self: string) => Handles } = {
  peers: ({ id, nickname, endpoint, state }) => {
    return { names: [nickname, endpoint], ids: [id], peer: id, state, network: null };
  },
  tunnels: ({ peer, nickname, endpoint, state }) => {
    return { names: [nickname, endpoint], ids: [peer], peer, state, network: null };
  },
  routes: ({ mac, ips, peer, state, network }) => {
    return { names: [mac, ...ips, ...ips.map(bare)], ids: [], peer, state, network };
  },
  leases: ({ cidr, peer, state, network }) => ({ names: [cidr], ids: [], peer, state, network }),
  attachments: ({ containerId, name, mac, ips, hostIfname, ifname, state, network }, self) => {
    const names = [name, mac, hostIfname, ifname, ...ips, ...ips.map(bare)];
    return { names, ids: [containerId], peer: self, state, network };
  },
  dns: ({ name, ips, peer, network }) => {
    return { names: [name, name.split('.')[0]!, ...ips, ...ips.map(bare)], ids: [], peer, state: null, network };
  },
};

/** The same status with the wanted rows of that section only. */
export function select(status: Status, section: StatusSection, wanted: Wanted): Status {
  return { ...status, [section]: rowsOf(status, section, wanted) };
}

function rowsOf<S extends StatusSection>(status: Status, section: S, wanted: Wanted): readonly RowOf<S>[] {
  const nicknames = new Map([...status.peers, status.self].map(({ id, nickname }) => [id, nickname]));
  const handlesOf = HANDLES[section];
  const rows: readonly RowOf<S>[] = status[section];
  const named = section === 'routes' && wanted.which !== null ? addressesCalled(wanted.which, status) : [];
  return rows.filter((row) => {
    const { names, ids, peer, state, network } = handlesOf(row, status.self.id);
    return (
      (wanted.which === null || isCalled(wanted.which, names, ids) || named.some((ip) => names.includes(ip))) &&
      (wanted.peer === null || isCalled(wanted.peer, [nicknames.get(peer) ?? null], [peer])) &&
      (wanted.state === null || state === wanted.state) &&
      (wanted.network === null || network === null || network === wanted.network)
    );
  });
}

/** What the name server would answer, also for a name without its domain: a route has no name itself. */
function addressesCalled(text: string, { dns, self }: Status): readonly string[] {
  return dns.filter((row) => isCalled(text, HANDLES.dns(row, self.id).names, [])).flatMap(({ ips }) => ips);
}

function isCalled(text: string, names: readonly (string | null)[], ids: readonly string[]): boolean {
  const wanted = text.toLowerCase();
  if (names.some((name) => name?.toLowerCase() === wanted)) return true;
  return ids.some((id) => id === text || (wanted.length >= ID_CHARS_MIN && id.toLowerCase().startsWith(wanted)));
}

/** An address without its prefix length. */
function bare(cidr: string): string {
  return cidr.split('/')[0]!;
}
