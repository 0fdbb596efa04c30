// Cleaning up after an error: every step is done whatever the others do, and what went wrong besides is told with the error
// that is answered. Shared by the verbs.

import { asCniError, CniError } from './cni-error.ts';

/** Does every step in order, whatever the others do, and gives what they failed with. */
export async function failures(steps: readonly (() => Promise<void>)[]): Promise<readonly CniError[]> {
  const errors: CniError[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      errors.push(asCniError(error));
    }
  }
  return errors;
}

/** The error that is answered, with what went wrong while cleaning up after it. */
export function withLeftOver(error: unknown, leftOver: readonly CniError[]): CniError {
  const cause = asCniError(error);
  if (leftOver.length === 0) return cause;
  const details = [cause.details, ...leftOver.map((next) => `also: ${sentence(next)}`)].filter((text) => text !== '');
  return new CniError(cause.code, cause.message, details.join('; '));
}

export function sentence({ message, details }: CniError): string {
  return details === '' ? message : `${message} (${details})`;
}
