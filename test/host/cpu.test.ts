import { expect, test } from 'vitest';
import { hasAesInstructions } from '../../src/host/cpu.ts';

test.each([
  ['x86-64 with AES-NI', 'model name\t: some\nflags\t\t: fpu sse2 aes avx\nbugs\t\t:\n', true],
  ['x86-64 without', 'flags\t\t: fpu sse2 avx\n', false],
  ['a flag that only begins alike', 'flags\t\t: fpu aeskle\n', false],
  ['arm64 with the extension', 'processor\t: 0\nFeatures\t: fp asimd aes pmull\n', true],
  ['arm64 without, as on a Raspberry Pi 4', 'Features\t: fp asimd evtstrm crc32 cpuid\n', false],
  ['a processor that names no features', 'vendor_id : IBM/S390\n', true],
])('%s', (_name, cpuinfo, expected) => {
  expect(hasAesInstructions(cpuinfo)).toBe(expected);
});
