// Delegation to a foreign IPAM plugin (specification §Plugin delegation): host-local, static, dhcp. The daemon never starts
// a program; the shim that asked runs the plugin from its CNI_PATH with the configuration it got, and hands the outcome
// back. This file says what to run and reads the answer; an error of the plugin keeps its code and names the plugin.

import { formatIp, parseIp } from '../base/address.ts';
import { attributesOf } from '../base/route-attributes.ts';
import type { GivenAddress, WantedRoute } from './backend.ts';
import { CNI_CODE, CniError } from './cni-error.ts';
import { JsonFields } from './json-fields.ts';
import { readResult } from './result-read.ts';
import { type CniVerb, type CniVersion, parseCniVersion } from './version.ts';

/** What a plugin printed and how it ended. */
export interface CniOutcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface PluginCall {
  /** File name below CNI_PATH, already validated: no `/`, no leading dot. */
  readonly plugin: string;
  /** Variables that differ from those of the call under way. */
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: Uint8Array;
}

/** Runs a plugin where the caller's shim runs. Rejects when the caller is gone. */
export type PluginExec = (call: PluginCall) => Promise<CniOutcome>;

export interface IpamGrant {
  readonly addresses: readonly GivenAddress[];
  readonly routes: readonly WantedRoute[];
}

export class IpamPlugin {
  readonly name: string;
  readonly #exec: PluginExec;
  readonly #stdin: Uint8Array;
  readonly #version: CniVersion;
  readonly #gateways: ReadonlySet<string>;

  constructor(options: {
    readonly name: string;
    readonly exec: PluginExec;
    readonly stdin: Uint8Array;
    readonly version: CniVersion;
    readonly config: JsonFields;
  }) {
    this.#gateways = new Set(gatewaysIn(options.config.raw));
    this.name = options.name;
    this.#exec = options.exec;
    this.#stdin = options.stdin;
    this.#version = options.version;
  }

  /** Rejects with CniError, also on an answer that can't be read: the caller then runs DEL. */
  async add(): Promise<IpamGrant> {
    return this.#readGrant(await this.#run('ADD'));
  }

  /** DEL, CHECK, GC or STATUS. Rejects with CniError. */
  async run(verb: Exclude<CniVerb, 'ADD' | 'VERSION'>): Promise<void> {
    await this.#run(verb);
  }

  async #run(verb: CniVerb): Promise<string> {
    const outcome = await this.#exec({ plugin: this.name, env: { CNI_COMMAND: verb }, stdin: this.#stdin });
    if (outcome.exitCode !== 0) throw this.#failure(verb, outcome);
    return outcome.stdout;
  }

  #readGrant(stdout: string): IpamGrant {
    const fields = this.#decode(stdout);
    const version = parseCniVersion(fields?.string('cniVersion') ?? this.#version);
    if (fields === null || version === null) {
      throw new CniError(CNI_CODE.ipamPlugin, `IPAM plugin ${this.name} answered no result`, stdout.slice(0, 200));
    }
    const { ips, routes } = readResult(fields, version);
    if (ips.length === 0) throw new CniError(CNI_CODE.ipamPlugin, `IPAM plugin ${this.name} gave no address`);
    return {
      addresses: ips.map(({ ip, prefix, gateway }) => ({
        address: `${formatIp(ip)}/${prefix}`,
        gateway: gateway !== null && this.#isMeant(gateway) ? gateway : null,
      })),
      routes: routes.map((route) => ({ dst: route.dst, gw: route.gw, ...attributesOf(route) })),
    };
  }

  /** host-local names the first address of the subnet when nobody named a gateway, and nobody is there: ours takes its place. */
  #isMeant(gateway: string): boolean {
    return this.name !== 'host-local' || this.#gateways.has(gateway);
  }

  #failure(verb: CniVerb, outcome: CniOutcome): CniError {
    const told = this.#decode(outcome.stdout);
    const code = told?.value('code');
    const message = told?.value('msg');
    const details = told?.value('details');
    return new CniError(
      typeof code === 'number' && Number.isSafeInteger(code) && code > 0 ? code : CNI_CODE.ipamPlugin,
      `IPAM plugin ${this.name} failed on ${verb}: ${typeof message === 'string' ? message : `exit ${outcome.exitCode}`}`,
      typeof details === 'string' ? details : outcome.stderr.slice(0, 500),
    );
  }

  #decode(stdout: string): JsonFields | null {
    try {
      return JsonFields.of(JSON.parse(stdout), `answer of ${this.name}`);
    } catch {
      // No JSON object: the callers say so in their own words.
      return null;
    }
  }
}

/** The canonical text of every `gateway` anywhere in the configuration. */
function gatewaysIn(value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    if (key.toLowerCase() !== 'gateway' || typeof inner !== 'string') return gatewaysIn(inner);
    const ip = parseIp(inner);
    return ip === null ? [] : [formatIp(ip)];
  });
}
