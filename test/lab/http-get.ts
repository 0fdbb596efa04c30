// HTTP by busybox nc, on hosts, in containers and in images alike: the resolver of a static busybox, which its wget calls,
// needs libraries that an image of busybox alone has not.

/** A command whose output is the whole answer, head and body. */
export function httpGet(address: string, port = 80): readonly string[] {
  return ['sh', '-c', `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 2 ${address} ${port}`];
}
