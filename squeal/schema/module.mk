$(eval $(call squeal_room,squeal/schema))
