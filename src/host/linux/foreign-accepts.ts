// Keeps accept rules in the chains of others that would drop traffic of containers (foreign-chains.ts): adds what is missing,
// removes them all at the end. Chains that iptables reads get their rules through iptables, because it refuses a whole
// table with expressions that it does not know; all others through nft. Idempotent; never touches a rule of others.

import type { Log } from '../../base/capabilities.ts';
import type { OverlayNetworkConfig } from '../host-network.ts';
import {
  type AcceptRule,
  acceptRules,
  type ChainPlace,
  chainsAt,
  droppingChains,
  type ForeignHook,
  isAbout,
  isIptablesChain,
  nameServerRules,
  type PrintedRule,
  placedRules,
  printedRules,
  rulesFor,
} from './foreign-chains.ts';
import { routedInterfaces } from './names.ts';
import type { NftListing, PacketFilterPrograms } from './nft.ts';

/** More chains at one hook than anyone has; a limit for the loops below. */
const CHAINS_MAX = 64;
/** iptables-nft first: the chains are nftables' own, whatever the alternatives system points to. */
const IPTABLES = { ip: ['iptables-nft', 'iptables'], ip6: ['ip6tables-nft', 'ip6tables'] } as const;

/** Rules that let through what others' chains at one hook would drop. */
export interface Opening {
  readonly hook: ForeignHook;
  readonly rules: readonly AcceptRule[];
}

const HOOKS: readonly ForeignHook[] = ['forward', 'input'];

/** How rules get into one chain and out of it. */
interface ChainEditor {
  /** Comments of our rules in the chain, one per rule. */
  comments(): Promise<readonly string[]>;
  insert(rules: readonly AcceptRule[]): Promise<void>;
  /** Of ours, those that `isDoomed` says by their comments. */
  remove(isDoomed: (comment: string) => boolean): Promise<void>;
}

/** A chain of others that drops what our rules would let through. */
interface ClosedChain {
  readonly place: ChainPlace;
  readonly editor: ChainEditor;
  readonly missing: readonly AcceptRule[];
}

export class ForeignAccepts {
  readonly #programs: PacketFilterPrograms;
  readonly #log: Log;
  readonly #iptables = new Map<string, Promise<string | null>>();

  constructor(programs: PacketFilterPrograms, log: Log) {
    this.#programs = programs;
    this.#log = log;
  }

  /** Opens every dropping chain; true when something was missing. */
  async ensure(openings: readonly Opening[]): Promise<boolean> {
    const closed = await this.#closed(openings);
    for (const { place, editor, missing } of closed) {
      await editor.insert(missing);
      this.#log.info('opened a chain of others for containers', { ...place });
    }
    return closed.length > 0;
  }

  /** The chains that {@link ensure} would open. */
  async unopened(openings: readonly Opening[]): Promise<readonly ChainPlace[]> {
    return (await this.#closed(openings)).map(({ place }) => place);
  }

  async #closed(openings: readonly Opening[]): Promise<readonly ClosedChain[]> {
    const listing = await this.#listing();
    const closed: ClosedChain[] = [];
    for (const { hook, rules } of openings) {
      for (const place of droppingChains(listing, hook).slice(0, CHAINS_MAX)) {
        const editor = await this.#editor(place, listing);
        const present = await editor.comments();
        const missing = rulesFor(rules, place.family).filter(({ comment }) => !present.includes(comment));
        if (missing.length > 0) closed.push({ place, editor, missing });
      }
    }
    return closed;
  }

  /** Removes the rules that name one of these interfaces, also from chains that no longer drop. */
  async remove(interfaces: readonly string[]): Promise<void> {
    const listing = await this.#listing();
    const isDoomed = (comment: string): boolean => interfaces.some((name) => isAbout(comment, name));
    for (const place of HOOKS.flatMap((hook) => chainsAt(listing, hook).slice(0, CHAINS_MAX))) {
      const editor = await this.#editor(place, listing);
      await editor.remove(isDoomed);
    }
  }

  /** Chains of all tables, and the rules of those that matter: a listing of everything takes long on a big host. */
  async #listing(): Promise<NftListing> {
    const chains = (await this.#programs.list('chains')) ?? [];
    const listings = [chains];
    const places = HOOKS.flatMap((hook) => chainsAt(chains, hook).slice(0, CHAINS_MAX));
    for (const { family, table, chain } of places) {
      const rules = await this.#programs.list('chain', family, table, chain);
      // Null: removed since.
      if (rules !== null) listings.push(rules.filter((object) => 'rule' in object));
    }
    return listings.flat();
  }

  async #editor(place: ChainPlace, listing: NftListing): Promise<ChainEditor> {
    const program = isIptablesChain(place) ? await this.#iptablesFor(place) : null;
    return program === null ? this.#nftEditor(place, listing) : this.#iptablesEditor(place, program);
  }

  #nftEditor({ family, table, chain }: ChainPlace, listing: NftListing): ChainEditor {
    const name = `${family} ${table} ${chain}`;
    const ours = placedRules(listing).filter((rule) => `${rule.family} ${rule.table} ${rule.chain}` === name);
    return {
      comments: async () => ours.map(({ comment }) => comment),
      insert: (rules) => this.#programs.apply(rules.map(({ nft }) => `insert rule ${name} ${nft}\n`).join('')),
      remove: async (isDoomed) => {
        const doomed = ours.filter(({ comment }) => isDoomed(comment));
        if (doomed.length === 0) return;
        await this.#programs.apply(doomed.map(({ handle }) => `delete rule ${name} handle ${handle}\n`).join(''));
      },
    };
  }

  #iptablesEditor({ chain }: ChainPlace, program: string): ChainEditor {
    const listed = async (): Promise<readonly PrintedRule[]> =>
      printedRules(await this.#programs.iptables(program, ['-S', chain]));
    return {
      comments: async () => (await listed()).map(({ comment }) => comment),
      insert: async (rules) => {
        for (const { iptables } of rules) await this.#programs.iptables(program, ['-I', chain, ...iptables]);
      },
      remove: async (isDoomed) => {
        for (const { comment, match } of await listed()) {
          if (isDoomed(comment)) await this.#programs.iptables(program, ['-D', chain, ...match]);
        }
      },
    };
  }

  #iptablesFor({ family }: ChainPlace): Promise<string | null> {
    const known = this.#iptables.get(family);
    if (known !== undefined) return known;
    const found = this.#programs.firstInstalled(family === 'ip' ? IPTABLES.ip : IPTABLES.ip6);
    this.#iptables.set(family, found);
    return found;
  }
}

/** Of others' chains: from our bridges, and to the name server on each network's gateway. The default network comes first. */
export function openingsFor(networks: readonly OverlayNetworkConfig[]): readonly Opening[] {
  const interfaces = routedInterfaces(networks.map(({ bridge }) => bridge));
  const served = networks.filter(({ internal }) => !internal);
  const names = served.flatMap(({ bridge, gateway, gateway6 }) =>
    nameServerRules(bridge, gateway6 === null ? [gateway] : [gateway, gateway6]),
  );
  return [
    { hook: 'forward', rules: acceptRules(interfaces) },
    { hook: 'input', rules: names },
  ];
}
