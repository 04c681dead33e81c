"""The audit as one self-contained HTML page with a browser of triplets."""

from medtrim.mining.audit_page.render import PageOptions, choose_triplets, render_page

__all__ = ["PageOptions", "choose_triplets", "render_page"]
