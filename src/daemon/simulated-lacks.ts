// What a test takes away from this machine, by FABRIC_TEST_WITHOUT in the daemon's environment, so that each slower path is
// walked on a machine that lacks nothing. For tests only; docs/engine-control.md says what each name stands for.

import { FabricError } from '../base/errors.ts';
import { ENGINE_LACKS } from '../router/engine/engine-datapath.ts';

/** `tap`: this kernel makes no TAP. `aes`: the processor has no AES. The rest is the engine's. */
export const SIMULATED_LACKS = ['tap', 'aes', ...ENGINE_LACKS] as const;
export type SimulatedLack = (typeof SIMULATED_LACKS)[number];

export const TEST_WITHOUT_VARIABLE = 'FABRIC_TEST_WITHOUT';

/** Names separated by commas. Throws FabricError `usage` for one that is unknown. */
export function parseSimulatedLacks(text: string | undefined): readonly SimulatedLack[] {
  if (text === undefined || text === '') return [];
  return text.split(',').map((name) => {
    const lack = SIMULATED_LACKS.find((known) => known === name);
    if (lack !== undefined) return lack;
    throw new FabricError('usage', {
      what: `${TEST_WITHOUT_VARIABLE} names ${JSON.stringify(name)}, which is unknown`,
      why: 'the variable takes features of the machine away, for tests',
      fix: `Unset it, or name some of ${SIMULATED_LACKS.join(', ')}`,
    });
  });
}
