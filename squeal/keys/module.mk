$(eval $(call squeal_room,squeal/keys))
