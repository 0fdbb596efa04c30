// The CNI_* variables of one call, validated per verb as the specification's "Parameters" demands. All that is missing is
// reported at once, because a runtime's author fixes one call, not one variable. Every complaint has code 4.

import { CNI_CODE, CniError } from './cni-error.ts';
import { CNI_VERBS, type CniVerb, parseVerb } from './version.ts';

export interface CniEnvironment {
  readonly verb: CniVerb;
  /** Empty for GC, STATUS and VERSION. */
  readonly containerId: string;
  readonly ifname: string;
  /** The path as the runtime gave it; may be empty for DEL. */
  readonly netns: string;
  /** CNI_ARGS, not parsed: DEL must not fail on it. */
  readonly args: string;
  /** CNI_NETNS_OVERRIDE allows an ADD into the plugin's own namespace. */
  readonly netnsOverride: boolean;
}

const REQUIRED: readonly { readonly name: string; readonly verbs: readonly CniVerb[] }[] = [
  { name: 'CNI_CONTAINERID', verbs: ['ADD', 'CHECK', 'DEL'] },
  { name: 'CNI_NETNS', verbs: ['ADD', 'CHECK'] },
  { name: 'CNI_IFNAME', verbs: ['ADD', 'CHECK', 'DEL'] },
  { name: 'CNI_PATH', verbs: ['ADD', 'CHECK', 'DEL', 'GC', 'STATUS'] },
];

/** Container ids and network names (specification §Parameters and §Network configuration format). */
export const NAME_PATTERN = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
/** Ours: longest container id and network name. The longest seen in runtimes is containerd's `<namespace>-<id>`, 153. */
export const NAME_LENGTH_MAX = 255;
const IFNAME_BYTES_MAX = 15;

/** Null when CNI_COMMAND is blank: the plugin prints what it is. Throws CniError. */
export function parseEnvironment(env: Readonly<Record<string, string>>): CniEnvironment | null {
  const value = (name: string): string => (Object.hasOwn(env, name) ? (env[name] ?? '') : '');
  const command = value('CNI_COMMAND');
  if (command === '') return null;
  const verb = parseVerb(command);
  if (verb === null) {
    throw new CniError(CNI_CODE.environment, `unknown CNI_COMMAND: ${command}`, `known are ${CNI_VERBS.join(', ')}`);
  }
  const missing = REQUIRED.filter(({ name, verbs }) => verbs.includes(verb) && value(name) === '');
  if (missing.length > 0) {
    const names = missing.map(({ name }) => name).join(',');
    throw new CniError(CNI_CODE.environment, `required env variables [${names}] missing`, `CNI_COMMAND is ${verb}`);
  }
  const environment: CniEnvironment = {
    verb,
    containerId: value('CNI_CONTAINERID'),
    ifname: value('CNI_IFNAME'),
    netns: value('CNI_NETNS'),
    args: value('CNI_ARGS'),
    netnsOverride: /^(1|true)$/i.test(value('CNI_NETNS_OVERRIDE')),
  };
  if (verb === 'ADD' || verb === 'CHECK' || verb === 'DEL') validateAttachmentKey(environment);
  return environment;
}

/** Null when the kernel and the specification accept the name, else why not. */
export function ifnameFault(ifname: string): string | null {
  if (ifname === '') return 'it is empty';
  if (new TextEncoder().encode(ifname).length > IFNAME_BYTES_MAX) return `it is longer than ${IFNAME_BYTES_MAX} bytes`;
  if (ifname === '.' || ifname === '..') return 'it is . or ..';
  // Control characters are no white space to RegExp, but no name either.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  return /[/:\s\u0000-\u001f\u007f]/.test(ifname) ? 'it has a /, a : or white space' : null;
}

export function isValidName(name: string): boolean {
  return name.length <= NAME_LENGTH_MAX && NAME_PATTERN.test(name);
}

function validateAttachmentKey({ containerId, ifname }: CniEnvironment): void {
  if (!isValidName(containerId)) {
    throw new CniError(
      CNI_CODE.environment,
      `invalid CNI_CONTAINERID: ${JSON.stringify(containerId)}`,
      `it must match ${NAME_PATTERN.source} and have at most ${NAME_LENGTH_MAX} characters`,
    );
  }
  const fault = ifnameFault(ifname);
  if (fault !== null) throw new CniError(CNI_CODE.environment, `invalid CNI_IFNAME: ${JSON.stringify(ifname)}`, fault);
}
