import { describe, expect, test } from 'vitest';
import { execOrder, parseDeferredDelete, parseExecReport, parseShimRequest } from '../../src/cni-plugin/wire.ts';

const REQUEST = {
  env: { CNI_COMMAND: 'ADD', CNI_NETNS: '/run/netns/a', PATH: '/bin' },
  stdin: btoa('{}'),
  pid: 7,
  fd: 5,
  dev: '4',
  ino: '18446744073709551615',
  callerDev: '4',
  callerIno: '1',
};
const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

describe("the shim's request", () => {
  test('keeps CNI_* alone, device and inode exactly', () => {
    expect(parseShimRequest(REQUEST)).toEqual({
      pid: 7,
      cni: {
        env: { CNI_COMMAND: 'ADD', CNI_NETNS: '/run/netns/a' },
        stdin: new TextEncoder().encode('{}'),
        namespace: { pid: 7, fd: 5, dev: 4n, ino: 2n ** 64n - 1n, path: '/run/netns/a' },
        namespaceFault: '',
        callerNamespace: { dev: 4n, ino: 1n },
      },
    });
  });

  test('without namespace carries why', () => {
    const { fd: _, ...rest } = REQUEST;
    expect(parseShimRequest({ ...rest, netnsError: 'No such file' })?.cni).toMatchObject({
      namespace: null,
      namespaceFault: 'No such file',
    });
  });

  test.each([
    ['no object', []],
    ['no env', { ...REQUEST, env: undefined }],
    ['env with a number', { ...REQUEST, env: { CNI_COMMAND: 1 } }],
    ['stdin that is no base64', { ...REQUEST, stdin: '*' }],
    ['no pid', { ...REQUEST, pid: 0 }],
    ['a pid that is no integer', { ...REQUEST, pid: 1.5 }],
    ['an fd without inode', { ...REQUEST, ino: undefined }],
    ['an inode that is no number', { ...REQUEST, ino: '0x1' }],
    ['an inode as a number', { ...REQUEST, ino: 1 }],
    ['an odd netnsError', { ...REQUEST, netnsError: 1 }],
  ])('%s: null', (_, body) => {
    expect(parseShimRequest(body)).toBeNull();
  });
});

describe('plugin orders and reports', () => {
  test('an order carries the bytes of stdin', () => {
    const stdin = Uint8Array.of(0, 255, 128);
    const { exec } = execOrder({ plugin: 'dhcp', env: { A: 'b' }, stdin }, 'k');
    expect(exec).toEqual({ plugin: 'dhcp', env: { A: 'b' }, stdin: 'AP+A', continuation: 'k' });
  });

  test('a report is decoded', () => {
    const report = { continuation: 'k', exitCode: 1, stdout: btoa('a'), stderr: '' };
    expect(parseExecReport(report)).toEqual({
      continuation: 'k',
      outcome: { exitCode: 1, stdout: 'a', stderr: '' },
    });
    expect(parseExecReport({ ...report, exitCode: -1 })).toBeNull();
    expect(parseExecReport({ ...report, continuation: 1 })).toBeNull();
    expect(parseExecReport(null)).toBeNull();
  });
});

describe('a deferred DEL', () => {
  const record = { format: 1, env: { CNI_COMMAND: 'DEL' }, stdin: btoa('{}') };
  test('is read', () => {
    expect(parseDeferredDelete(bytes(record))).toEqual({ env: record.env, stdin: new TextEncoder().encode('{}') });
  });

  test.each([
    ['another format', { ...record, format: 2 }],
    ['another verb', { ...record, env: { CNI_COMMAND: 'ADD' } }],
    ['no stdin', { ...record, stdin: null }],
  ])('%s: null', (_, value) => {
    expect(parseDeferredDelete(bytes(value))).toBeNull();
  });

  test('torn: null', () => {
    const whole = bytes(record);
    for (let length = 0; length < whole.length; length++) {
      expect(parseDeferredDelete(whole.subarray(0, length))).toBeNull();
    }
  });
});
