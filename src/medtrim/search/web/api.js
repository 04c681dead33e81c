// The server's API.

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("the server does not answer; is it running?");
  }
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  throw new Error(body.error || `the server answered ${response.status}`);
}

export const about = () => call("api/about");

export const search = (body) =>
  call("api/search", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

/** What an uploaded file looks like, and the small picture that stands for it in searches. */
export async function preview(file) {
  const headers = { "content-type": "application/octet-stream" };
  const answer = await call("api/preview", { method: "POST", headers, body: file });
  const bytes = Uint8Array.from(atob(answer.preview), (c) => c.charCodeAt(0));
  const url = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  return { url, image: answer.image, width: answer.width, height: answer.height, name: file.name };
}

export const thumbnail = (row) => `api/studies/${row}/thumbnail`;
export const original = (row, view = 0) => `api/studies/${row}/image?view=${view}`;
