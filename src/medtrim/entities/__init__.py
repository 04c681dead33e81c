"""OBER, the ontology-based entity recogniser: findings with descriptors, offsets and assertions."""
