// Keeps accept rules in the chains of others that would drop forwarded traffic (foreign-chains.ts): adds what is missing,
// removes them all at the end. Chains that iptables reads get their rules through iptables, because it refuses a whole
// table with expressions that it does not know; all others through nft. Idempotent; never touches a rule of others.

import type { Log } from '../../base/capabilities.ts';
import {
  type AcceptRule,
  acceptRules,
  type ChainPlace,
  droppingForwardChains,
  forwardChains,
  isIptablesChain,
  placedRules,
} from './foreign-chains.ts';
import type { NftListing, PacketFilterPrograms } from './nft.ts';

/** More forward chains than anyone has; a limit for the loops below. */
const CHAINS_MAX = 64;
/** iptables-nft first: the chains are nftables' own, whatever the alternatives system points to. */
const IPTABLES = { ip: ['iptables-nft', 'iptables'], ip6: ['ip6tables-nft', 'ip6tables'] } as const;

/** How rules get into one chain and out of it. */
interface ChainEditor {
  /** Comments of our rules in the chain, one per rule. */
  comments(): Promise<readonly string[]>;
  insert(rules: readonly AcceptRule[]): Promise<void>;
  removeAll(rules: readonly AcceptRule[]): Promise<void>;
}

export class ForeignAccepts {
  readonly #programs: PacketFilterPrograms;
  readonly #log: Log;
  readonly #iptables = new Map<string, Promise<string | null>>();

  constructor(programs: PacketFilterPrograms, log: Log) {
    this.#programs = programs;
    this.#log = log;
  }

  /** Opens every dropping chain for these interfaces; true when something was missing. */
  async ensure(interfaces: readonly string[]): Promise<boolean> {
    const listing = await this.#listing();
    let added = false;
    for (const place of droppingForwardChains(listing).slice(0, CHAINS_MAX)) {
      const editor = await this.#editor(place, listing);
      const present = await editor.comments();
      const missing = acceptRules(interfaces).filter(({ comment }) => !present.includes(comment));
      if (missing.length === 0) continue;
      await editor.insert(missing);
      this.#log.info('opened a forward chain of others for containers', { ...place });
      added = true;
    }
    return added;
  }

  /** Removes these interfaces' rules, also from chains that no longer drop. */
  async remove(interfaces: readonly string[]): Promise<void> {
    const listing = await this.#listing();
    for (const place of forwardChains(listing).slice(0, CHAINS_MAX)) {
      const editor = await this.#editor(place, listing);
      await editor.removeAll(acceptRules(interfaces));
    }
  }

  /** Chains of all tables, and the rules of those that matter: a listing of everything takes long on a big host. */
  async #listing(): Promise<NftListing> {
    const chains = (await this.#programs.list('chains')) ?? [];
    const listings = [chains];
    for (const { family, table, chain } of forwardChains(chains).slice(0, CHAINS_MAX)) {
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
      removeAll: async (rules) => {
        const doomed = ours.filter((rule) => rules.some(({ comment }) => comment === rule.comment));
        if (doomed.length === 0) return;
        await this.#programs.apply(doomed.map(({ handle }) => `delete rule ${name} handle ${handle}\n`).join(''));
      },
    };
  }

  #iptablesEditor({ chain }: ChainPlace, program: string): ChainEditor {
    const comments = async (): Promise<readonly string[]> => {
      const listed = await this.#programs.iptables(program, ['-S', chain]);
      return [...listed.matchAll(/ --comment "([^"]*)"/g)].map(([, comment]) => comment!);
    };
    return {
      comments,
      insert: async (rules) => {
        for (const { iptables } of rules) await this.#programs.iptables(program, ['-I', chain, ...iptables]);
      },
      removeAll: async (rules) => {
        const present = await comments();
        for (const { comment, iptables } of rules) {
          const times = present.filter((other) => other === comment).length;
          for (let i = 0; i < times; i++) await this.#programs.iptables(program, ['-D', chain, ...iptables]);
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
