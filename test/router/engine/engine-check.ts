// Asks the engine's pure parts (native/engine/check): each question a line, each answer a line.

import { spawnSync } from 'node:child_process';
import { nativeFile } from '../../../src/host/native.ts';

const OUTPUT_BYTES_MAX = 1 << 28;

/** One process answers all, in order: tables that one question changed hold for those after it. */
export function askEngine(questions: readonly string[]): readonly string[] {
  const input = questions.map((question) => `${question}\n`).join('');
  const { stdout, status } = spawnSync(nativeFile('fabric-engine-check'), [], {
    input,
    encoding: 'utf8',
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  const answers = stdout.split('\n').slice(0, -1);
  if (status !== 0 || answers.length !== questions.length) {
    throw new Error(`it ended with ${status} at: ${questions[answers.length]}`);
  }
  return answers;
}

/** An empty byte string is a dash. */
export function hex(bytes: Uint8Array): string {
  return bytes.length === 0 ? '-' : Buffer.from(bytes).toString('hex');
}
