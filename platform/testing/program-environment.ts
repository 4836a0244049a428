const inherited = ['PATH', 'NODE_COMPILE_CACHE'];

/**
 * What a program that is started with an environment of its own still takes from ours: where programs are, and where Node
 * keeps what it has compiled, without which each start strips and compiles everything anew.
 */
export const programEnvironment = (): Record<string, string> =>
  Object.fromEntries(inherited.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
