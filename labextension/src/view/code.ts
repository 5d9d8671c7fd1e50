/** The code that fetches an object by its name. */

const KEYWORDS = new Set(
  (
    'False None True and as assert async await break class continue def del elif else except finally for from ' +
    'global if import in is lambda nonlocal not or pass raise return try while with yield'
  ).split(' ')
);

/**
 * What to run in a notebook to have an object there.
 * @param name Of the object.
 * @returns `%shm_get name`, or where the name cannot be a variable's, a call that says into which one it goes.
 */
export function fetchingCode(name: string): string {
  if (/^[A-Za-z_]\w*$/.test(name) && !KEYWORDS.has(name)) {
    return `%shm_get ${name}`;
  }
  // JSON escapes what Python escapes, in the same way.
  const literal = JSON.stringify(name).replace(
    /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    escaped
  );
  return `import jupyter_shm as shm\n${variableFor(name)} = shm.get(${literal})`;
}

function variableFor(name: string): string {
  const letters = name.replace(/\W+/g, '_').replace(/^_+|_+$/g, '');
  const variable = /^\d/.test(letters) ? `_${letters}` : letters;
  return !variable || KEYWORDS.has(variable) ? `${variable || 'fetched'}_` : variable;
}

function escaped(letter: string): string {
  return `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
