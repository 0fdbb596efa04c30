// All of doctor's checks over one set of readings. Each check is a function of the readings alone.

import { checkPacketFilter } from './filter-checks.ts';
import { FINDING_CODES, type Finding } from './finding.ts';
import { checkMachine } from './machine-checks.ts';
import { checkOverlay } from './overlay-checks.ts';
import { checkPeers } from './peer-checks.ts';
import type { Readings } from './readings.ts';
import { checkUnderlay } from './underlay-checks.ts';

const CODES: readonly string[] = FINDING_CODES;
const CHECKS = [checkMachine, checkUnderlay, checkPacketFilter, checkOverlay, checkPeers];

/** Errors first; within a severity what lies deeper first, because it often explains the rest. */
export function diagnose(readings: Readings): readonly Finding[] {
  const order = (code: string): number => {
    const index = CODES.indexOf(code);
    return index === -1 ? CODES.indexOf('datapath-fallback') : index;
  };
  return CHECKS.flatMap((check) => check(readings)).sort((a, b) => rank(a) - rank(b) || order(a.code) - order(b.code));
}

function rank({ severity }: Finding): number {
  return severity === 'error' ? 0 : 1;
}
