// The command line of the benchmark: which contenders and metrics a run measures, how long it takes, where the JSON goes.
// Pure: words in, choice out.

import { parseArgs } from 'node:util';

export interface Flags {
  readonly quick: boolean;
  /** Path of the JSON, or null. */
  readonly json: string | null;
  /** Whether the table goes into bench/README.md. */
  readonly record: boolean;
  /** Names of contenders, or null for all. */
  readonly only: ReadonlySet<string> | null;
  /** Names of metrics, or null for all. */
  readonly metrics: ReadonlySet<string> | null;
  /** Interleaved rounds, or null for what `quick` means. */
  readonly rounds: number | null;
}

export const USAGE =
  'npm run bench [-- [--quick] [--json FILE] [--only CONTENDER,…] [--metric NAME,…] [--rounds N] [--record]]';

const ROUNDS_MAX = 1000;

/** What may be named. */
export interface Known {
  readonly contenders: readonly string[];
  readonly metrics: readonly string[];
}

/** Throws an Error that says what is wrong with these words, and what would be right. */
export function readFlags(words: readonly string[], known: Known): Flags {
  const { values } = parseArgs({
    args: [...words],
    options: {
      quick: { type: 'boolean' },
      json: { type: 'string' },
      record: { type: 'boolean' },
      only: { type: 'string' },
      metric: { type: 'string' },
      rounds: { type: 'string' },
    },
  });
  return {
    quick: values.quick ?? false,
    json: values.json ?? null,
    record: values.record ?? false,
    only: names('--only', values.only, known.contenders),
    metrics: names('--metric', values.metric, known.metrics),
    rounds: rounds(values.rounds),
  };
}

function names(flag: string, text: string | undefined, known: readonly string[]): ReadonlySet<string> | null {
  if (text === undefined) return null;
  const wanted = text.split(',');
  const unknown = wanted.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`${flag}: no ${unknown.join(', ')}; there are ${known.join(', ')}`);
  return new Set(wanted);
}

function rounds(text: string | undefined): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > ROUNDS_MAX)
    throw new Error(`--rounds: ${text} is no whole number from 1 to ${ROUNDS_MAX}`);
  return value;
}
