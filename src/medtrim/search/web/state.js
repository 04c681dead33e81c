// The query as the page holds it, and as the address holds it: after the #, which browsers never send anywhere.

export const ROLES = { must: "must have", must_not: "must not have", like: "rank higher" };
export const AXES = ["severity", "acuity", "change", "other", "side", "zone"];

/** A query that asks for nothing. `chips` is null while the server is to read the words itself. */
export const blank = () => ({
  text: "", study: "", using: "image", against: "image", mode: "both", weight: 50, onePerPatient: false,
  k: 12, offset: 0, chips: null, filters: {}, picture: "",
});

/** A finding as words, as the recogniser would read it. */
export function words(chip) {
  const sides = chip.side.length > 1 ? ["bilateral"] : chip.side;
  const said = AXES.flatMap((axis) => (axis === "side" ? sides : chip[axis]));
  const before = chip.role === "must_not" || chip.denied ? ["no"] : chip.uncertain ? ["possible"] : [];
  return [...before, ...said, chip.disease || "finding"].join(" ");
}

export const newChip = (role = "must") => ({
  role, off: false, disease: "", denied: false, uncertain: false,
  side: [], zone: [], severity: [], acuity: [], change: [], other: [],
});

/** The chips of an answer as one list. */
export const chipsOf = (answer) =>
  Object.keys(ROLES).flatMap((role) => answer.chips[role].map((chip) => ({ ...newChip(role), ...chip, role })));

export const sameQuery = (a, b) => encode(a) === encode(b) && a.picture === b.picture;

export function encode(query) {
  const fields = new URLSearchParams();
  const base = blank();
  for (const name of ["text", "study", "using", "against", "mode", "weight", "k", "offset"]) {
    if (query[name] !== base[name]) fields.set(name, query[name]);
  }
  if (query.onePerPatient) fields.set("patients", "1");
  if (query.chips) fields.set("chips", JSON.stringify(query.chips.map(short)));
  if (Object.keys(query.filters).length) fields.set("filters", JSON.stringify(query.filters));
  if (query.picture) fields.set("picture", "1");
  return fields.toString();
}

export function decode(hash) {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const query = blank();
  for (const name of ["text", "study", "using", "against", "mode"]) query[name] = fields.get(name) ?? query[name];
  for (const name of ["weight", "k", "offset"]) {
    const value = Number(fields.get(name) ?? query[name]);
    if (Number.isInteger(value) && value >= 0) query[name] = value;
  }
  query.onePerPatient = fields.has("patients");
  const chips = parse(fields.get("chips"));
  if (Array.isArray(chips)) query.chips = chips.map((chip) => ({ ...newChip(), ...chip }));
  const filters = parse(fields.get("filters"));
  if (filters && typeof filters === "object") query.filters = filters;
  query.picture = fields.get("picture") ?? "";
  return query;
}

/** The request's body; `picture` is what `api.preview` gave, or null. */
export function request(query, picture) {
  const body = {
    text: query.text, study_id: query.study, using: query.using, against: query.against, mode: query.mode,
    one_per_patient: query.onePerPatient, offset: query.offset, k: query.k, ...query.filters,
  };
  if (picture) body.image = picture.image;
  if (picture || query.study) body.image_weight = query.weight / 100;
  if (query.chips) {
    for (const role of Object.keys(ROLES)) {
      body[role] = query.chips.filter((chip) => chip.role === role && !chip.off).map(({ role: _, off: __, ...chip }) => chip);
    }
  }
  return body;
}

function short(chip) {
  const base = newChip("");
  return Object.fromEntries(Object.entries(chip).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(base[name])));
}

function parse(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null; // a mangled address asks for less, not for an error
  }
}
