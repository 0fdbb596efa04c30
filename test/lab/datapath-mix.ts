// Which datapaths the hosts of a lab run, unless a test launches one with a --datapath of its own: FABRIC_TEST_DATAPATH names a
// mix, so that one end-to-end test runs over each (`npm run test:long -- matrix`). Without it hosts choose for themselves.

import { FabricError } from '../../src/base/errors.ts';

export const MIX_VARIABLE = 'FABRIC_TEST_DATAPATH';

export interface DatapathMix {
  /** Flags of `fabric launch` of the first host, the second, …, and then again of the first. */
  readonly flags: readonly (readonly string[])[];
  /** The datapath that `status` names with the tunnels of those hosts, in the same order. */
  readonly names: readonly string[];
  /** Frames between hosts are encrypted. */
  readonly encrypted: boolean;
}

const ENGINE = ['--datapath', 'engine'];
const PCAP = ['--datapath', 'pcap'];
/** All hosts of a lab. */
const TRUST = ['--trusted-subnets', '192.0.2.0/24,2001:db8:1::/64'];

export const DATAPATH_MIXES: Readonly<Record<string, DatapathMix>> = {
  engine: { flags: [ENGINE], names: ['engine'], encrypted: true },
  pcap: { flags: [PCAP], names: ['pcap'], encrypted: true },
  mixed: { flags: [ENGINE, PCAP], names: ['engine', 'pcap'], encrypted: true },
  vxlan: { flags: [TRUST], names: ['vxlan'], encrypted: false },
};

const DEFAULT_MIX: DatapathMix = { flags: [[]], names: ['engine'], encrypted: true };

/** The mix that the environment names. Throws FabricError `usage` for one that is unknown. */
export function mixOfEnvironment(): DatapathMix {
  const name = process.env[MIX_VARIABLE] ?? '';
  if (name === '') return DEFAULT_MIX;
  const mix = Object.hasOwn(DATAPATH_MIXES, name) ? DATAPATH_MIXES[name] : undefined;
  if (mix !== undefined) return mix;
  throw new FabricError('usage', {
    what: `${MIX_VARIABLE} names ${JSON.stringify(name)}, which is unknown`,
    why: 'it chooses the datapaths of end-to-end tests',
    fix: `Unset it, or name one of ${Object.keys(DATAPATH_MIXES).join(', ')}`,
  });
}
