// Runs work in a lab of its own outside the test runner: the lab is gone afterwards, also when the work fails or somebody
// presses Ctrl-C.

import { Lab } from './lab.ts';

export async function withLab<T>(work: (lab: Lab) => Promise<T>): Promise<T> {
  const lab = await Lab.create();
  const interrupted = (signal: NodeJS.Signals): void => {
    void lab.destroy().finally(() => process.exit(signal === 'SIGINT' ? 130 : 143));
  };
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  try {
    return await work(lab);
  } finally {
    await lab.destroy();
    process.off('SIGINT', interrupted);
    process.off('SIGTERM', interrupted);
  }
}
