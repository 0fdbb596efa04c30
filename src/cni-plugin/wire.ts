// What the shim and the daemon say to each other, and the record that the shim leaves when there is no daemon: JSON over
// the local API (POST /v1/cni, POST /v1/cni/exec) and on disk. Pure parsers of outside input: null on anything malformed.
// native/cni-shim writes these forms; docs/cni.md describes them.

import type { CniRequest } from './call.ts';
import type { CniOutcome, PluginCall } from './ipam-plugin.ts';

/** The longest record: stdin as base64 with 16 MiB behind it, and room for the variables. */
export const CNI_BODY_BYTES_MAX = 24 * 1024 * 1024;

export interface ShimRequest {
  readonly cni: CniRequest;
  /** The shim's pid as it sees itself: must be what the socket's credentials say. */
  readonly pid: number;
}

export interface ExecReport {
  /** Which answer this continues. */
  readonly continuation: string;
  readonly outcome: CniOutcome;
}

/** The body of an answer to the shim; with `exec` it is an order to run a plugin and report, and nothing is printed. */
export type ShimAnswer = CniOutcome & {
  readonly exec?: {
    readonly plugin: string;
    readonly env: Readonly<Record<string, string>>;
    /** Base64. */
    readonly stdin: string;
    readonly continuation: string;
  };
};

export interface DeferredDelete {
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: Uint8Array;
}

/** Body of POST /v1/cni: {env, stdin, pid, fd, dev, ino, netnsError, callerDev, callerIno}. */
export function parseShimRequest(body: unknown): ShimRequest | null {
  if (!isObject(body)) return null;
  const env = readEnv(body.env);
  const stdin = readBase64(body.stdin);
  const pid = readNatural(body.pid);
  if (env === null || stdin === null || pid === null || pid === 0) return null;
  const namespaceFault = body.netnsError ?? '';
  if (typeof namespaceFault !== 'string') return null;
  const caller = readDevIno(body.callerDev, body.callerIno);
  const fd = readNatural(body.fd);
  const opened = fd === null ? null : readDevIno(body.dev, body.ino);
  if (fd !== null && opened === null) return null;
  const path = env.CNI_NETNS ?? '';
  const namespace = fd === null || opened === null ? null : { pid, fd, ...opened, path };
  return { pid, cni: { env, stdin, namespace, namespaceFault, callerNamespace: caller } };
}

/** Body of POST /v1/cni/exec: {continuation, exitCode, stdout, stderr}, both texts in base64. */
export function parseExecReport(body: unknown): ExecReport | null {
  if (!isObject(body)) return null;
  const { continuation } = body;
  const exitCode = readNatural(body.exitCode);
  const stdout = readBase64(body.stdout);
  const stderr = readBase64(body.stderr);
  if (typeof continuation !== 'string' || exitCode === null || stdout === null || stderr === null) return null;
  // Not fatal: what a foreign plugin says wrongly is shown as well as it goes.
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { continuation, outcome: { exitCode, stdout: text(stdout), stderr: text(stderr) } };
}

export function execOrder(call: PluginCall, continuation: string): ShimAnswer {
  const stdin = encodeBase64(call.stdin);
  return { exitCode: 0, stdout: '', stderr: '', exec: { plugin: call.plugin, env: call.env, stdin, continuation } };
}

/** A file of `<state-dir>/cni-pending`: {format: 1, env, stdin}. Only a DEL is ever recorded. */
export function parseDeferredDelete(content: Uint8Array): DeferredDelete | null {
  const fields = decodeObject(content);
  if (fields === null || fields.format !== 1) return null;
  const env = readEnv(fields.env);
  const stdin = readBase64(fields.stdin);
  return env?.CNI_COMMAND === 'DEL' && stdin !== null ? { env, stdin } : null;
}

type Fields = Readonly<Record<string, unknown>>;

function decodeObject(bytes: Uint8Array): Fields | null {
  if (bytes.length > CNI_BODY_BYTES_MAX) return null;
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Keeps CNI_* alone, in an object without prototype. */
function readEnv(value: unknown): Record<string, string> | null {
  if (!isObject(value)) return null;
  const env: Record<string, string> = Object.create(null);
  for (const [name, text] of Object.entries(value)) {
    if (typeof text !== 'string') return null;
    if (name.startsWith('CNI_')) env[name] = text;
  }
  return env;
}

function readNatural(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

/** Device and inode travel as decimal text: they may exceed 2^53. */
function readDevIno(dev: unknown, ino: unknown): { dev: bigint; ino: bigint } | null {
  const decimal = /^\d{1,20}$/;
  if (typeof dev !== 'string' || typeof ino !== 'string' || !decimal.test(dev) || !decimal.test(ino)) return null;
  return { dev: BigInt(dev), ino: BigInt(ino) };
}

function readBase64(value: unknown): Uint8Array | null {
  if (typeof value !== 'string' || value.length % 4 !== 0) return null;
  try {
    const binary = atob(value);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes;
  } catch {
    return null;
  }
}

function encodeBase64(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}
