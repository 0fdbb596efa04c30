// What the processor of this machine has that decides which cipher is fast here. Read once, from /proc/cpuinfo.

import { readFileSync } from 'node:fs';

/**
 * False when the processor names its features and AES is not among them: OpenSSL's AES-GCM is then slower than
 * ChaCha20-Poly1305, and not constant in time. `cpuinfo` is the text of /proc/cpuinfo: x86 lists `flags`, arm64 `Features`.
 */
export function hasAesInstructions(cpuinfo: string = readFileSync('/proc/cpuinfo', 'utf8')): boolean {
  const features = /^(?:flags|Features)\s*:(.*)$/m.exec(cpuinfo)?.[1];
  return features === undefined || features.split(' ').includes('aes');
}
