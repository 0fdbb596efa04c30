// Runs a list of CNI plugins as libcni does: ADD and CHECK in order, each with the result of the one before, DEL in reverse
// order, with the network's name and version and what the runtime says of each plugin's capabilities.

import { CNI_PLUGIN } from './checkout.ts';
import type { CniResult, LabContainer } from './container.ts';
import type { Result } from './exec.ts';

/** Where Debian's containernetworking-plugins lie. */
export const REFERENCE_PLUGINS = '/usr/lib/cni';

export interface ChainedPlugin {
  readonly type: string;
  readonly [key: string]: unknown;
}

export class PluginChain {
  readonly #name: string;
  readonly #version: string;
  readonly #plugins: readonly ChainedPlugin[];

  constructor(options: {
    readonly name: string;
    readonly version: string;
    readonly plugins: readonly ChainedPlugin[];
  }) {
    this.#name = options.name;
    this.#version = options.version;
    this.#plugins = options.plugins;
  }

  /** The result of the last plugin. Throws with the output of the first that fails. */
  async add(container: LabContainer): Promise<CniResult> {
    let prevResult: CniResult | undefined;
    for (const plugin of this.#plugins) {
      const { stdout } = await this.#run(container, 'ADD', plugin, prevResult);
      prevResult = JSON.parse(stdout) as CniResult;
    }
    container.result = prevResult ?? null;
    return prevResult!;
  }

  /** Of the plugins of these types; throws with the output of the first that finds something. */
  async check(container: LabContainer, types: readonly string[]): Promise<void> {
    for (const plugin of this.#plugins) {
      if (types.includes(plugin.type)) await this.#run(container, 'CHECK', plugin, container.result!);
    }
  }

  async delete(container: LabContainer): Promise<void> {
    for (const plugin of this.#plugins.toReversed()) await this.#run(container, 'DEL', plugin, container.result!);
  }

  #run(container: LabContainer, verb: string, plugin: ChainedPlugin, prevResult?: CniResult): Promise<Result> {
    const stdin = {
      cniVersion: this.#version,
      name: this.#name,
      ...plugin,
      ...(prevResult === undefined ? {} : { prevResult }),
    };
    const path = plugin.type === 'fabric' ? CNI_PLUGIN : `${REFERENCE_PLUGINS}/${plugin.type}`;
    return container.cni(verb, { stdin, plugin: path });
  }
}
